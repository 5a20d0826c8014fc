"""The camera of the visitor's browser: ten snapshots are ten clicks, which gradio's own picture input cannot do."""

from __future__ import annotations

VIDEO = '<video id="mm-video" class="mm-video" autoplay playsinline muted></video>'
"""Shows the camera while it is on."""

SWITCH = """async (...given) => {
  const video = document.getElementById("mm-video"), last = given.length - 1;
  if (window.mmCamera) {
    window.mmCamera.getTracks().forEach(track => track.stop());
    window.mmCamera = null; video.srcObject = null; video.classList.remove("mm-on");
    given[last] = "off"; return given;
  }
  try {
    window.mmCamera = await navigator.mediaDevices.getUserMedia({video: {width: {ideal: 1280}}});
    video.srcObject = window.mmCamera; video.classList.add("mm-on");
    given[last] = "on";
  } catch (error) { given[last] = navigator.mediaDevices ? "refused" : "unsafe"; }
  return given;
}"""
"""Turns the camera on or off; the last input becomes what came of it: "on", "off", "refused" or "unsafe"."""

OFF = """() => {
  if (window.mmCamera) window.mmCamera.getTracks().forEach(track => track.stop());
  window.mmCamera = null;
  const video = document.getElementById("mm-video");
  if (video) { video.srcObject = null; video.classList.remove("mm-on"); }
}"""
"""Turns it off, whatever it was."""

SNAP = """(...given) => {
  const video = document.getElementById("mm-video"), last = given.length - 1;
  given[last] = "";
  if (!window.mmCamera || !video || !video.videoWidth) return given;
  const scale = Math.min(1, 960 / Math.max(video.videoWidth, video.videoHeight));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(video.videoWidth * scale); canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  video.classList.add("mm-flash"); setTimeout(() => video.classList.remove("mm-flash"), 150);
  given[last] = canvas.toDataURL("image/jpeg", 0.92);
  return given;
}"""
"""The last input becomes the picture of this moment as a ``data:`` address, "" while the camera is off."""

"""How much memory this process holds, now and at most; :mod:`mmdemo.core.memory` gives back what it no longer needs."""

from __future__ import annotations

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def resident_bytes() -> int:
    """Bytes of physical memory that the process holds now (macOS: at most so far)."""
    return _linux("VmRSS") or _current_elsewhere()


def peak_bytes() -> int:
    """Most bytes that the process held, since :func:`reset_peak` where that works, else since its start."""
    return _linux("VmHWM") or _peak_elsewhere()


def reset_peak() -> bool:
    """Let the peak start again from what is held now; False where the system has no way to."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True


def _linux(field: str) -> int:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0


if sys.platform == "win32":
    import ctypes

    class _Counters(ctypes.Structure):
        """PROCESS_MEMORY_COUNTERS of the Windows API."""

        _fields_ = [("cb", ctypes.c_uint32), ("faults", ctypes.c_uint32)] + [
            (name, ctypes.c_size_t) for name in ("peak", "resident", "a", "b", "c", "d", "pagefile", "peak_pagefile")
        ]

    def _counters() -> _Counters:
        counters = _Counters()
        counters.cb = ctypes.sizeof(counters)
        kernel = ctypes.WinDLL("kernel32")
        kernel.GetCurrentProcess.restype = ctypes.c_void_p
        kernel.K32GetProcessMemoryInfo(ctypes.c_void_p(kernel.GetCurrentProcess()), ctypes.byref(counters), counters.cb)
        return counters

    def _current_elsewhere() -> int:
        return int(_counters().resident)

    def _peak_elsewhere() -> int:
        return int(_counters().peak)

else:
    import resource

    def _peak_elsewhere() -> int:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return int(peak) if sys.platform == "darwin" else int(peak) * 1024

    def _current_elsewhere() -> int:
        return _peak_elsewhere()

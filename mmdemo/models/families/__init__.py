"""Models that others made and published, behind the signatures of ours.

``layout`` tells from the files in a folder what kind of model lies there; one file for each kind loads it and answers
with it: ``open_clip_``, ``zero_shot``, ``coca``, ``blip``, ``vilt``, ``florence``, ``chat``, ``audio``. ``listed`` is
what we recommend, ``fetching`` brings it here.
"""

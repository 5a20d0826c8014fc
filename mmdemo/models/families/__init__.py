"""Hub models: models that others published, behind the signatures of ours.

One class in one file for each family (``blip``, ``chat``, ``coca``, ``florence``, ``open_clip``, ``speech_classifier``,
``vilt``, ``zero_shot``), listed in ``classes``. ``detect`` tells from the configuration files in a folder which family
lies there; ``factory`` opens it; ``adapter`` and ``merge`` read and write what was tuned from it.
"""

"""`nat-lb demo`: a lab with real programs, a director between them, and what went over the wires.

The law: every figure comes from the real servers, the real clients or a capture, never from the director itself.

    nat-lb.toml   the configuration that the director of the demo runs
    needs.py      what the machine must have, asked before anything is built
    scene.py      builds: namespaces, real servers, director; takes down or keeps
    acts.py       the clients' part: requests, downloads, a port that nobody serves
    wire.py       captures as lists of TCP segments
    dialogue.py   an FTP control connection as lines
    legs.py       one request and its reply on all four legs
    judge.py      acts and captures to findings, findings to the verdict
    stage.py      prints, with tables.py
    look.py       captures read, judged and shown
    keeping.py    how to enter and remove a lab that stays up
    play.py       the order of it all
"""

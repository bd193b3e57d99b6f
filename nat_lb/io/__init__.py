"""The doors to the outside: all packets, rules and system settings go through one of these modules.

The law: nothing else in the core touches a socket, a clock, a subprocess or a capture file.  A door takes callables,
so the core behind it is the same on a queue, over a capture and in a test.

- `nfqueue`   packets of the running system, from the kernel's queue, one by one through `handler`; `signals` between
- `steering`  the netfilter rules that queue them, written by `rules`
- `inject`    packets of the director's own, such as refusals
- `pcap`      packets of a capture file: `capture` reads and writes it, `link` knows its frames, `fragments` reassembles
- `system`    what the machine must allow and how it must be set
- `notify`    readiness, told to systemd
- `control`   the control socket, made by `listener`; what it says is in `answers`, who asks it uses `ask`
- `serve`     a running director, made of the above
"""

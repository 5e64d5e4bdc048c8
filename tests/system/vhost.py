# SPDX-License-Identifier: BSD-3-Clause
"""A live hongbaod and hongbao-replay with a virtio link between them, and no hugepages."""
import functools

from live import Server

NO_HUGE = ("--no-huge", "-m", "128")

# Where nothing may be lost: other work may keep the server from its CPU for seconds.
PATIENT = ("--timeout", 20000)


servers = []


def alone(test):
    """Ends the servers that a test which failed has left."""
    @functools.wraps(test)
    def run(p):
        try:
            return test(p)
        finally:
            while servers:
                servers.pop().kill()
    return run


def vhost(p, workers=1, **settings):
    """A hongbaod on a vhost socket."""
    p.config(workers=workers, clock="wall", ports=[{
        "profile": "vhost", "device": f"net_vhost0,iface=vhost.sock,queues={workers}"}], **settings)
    server = Server(p)
    servers.append(server)
    server.start()
    return server


def device(p, queues=1):
    return f"net_virtio_user0,path={p.path('vhost.sock')},queues={queues},packed_vq=1,queue_size=1024"


def arguments(p, what, *more, queues=1):
    return [what, "--device", device(p, queues), "--queues", queues, "--keys", "keys.yaml",
            "--report", "replay.json", *PATIENT, *more, "--", *NO_HUGE]

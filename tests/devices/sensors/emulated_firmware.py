"""A Raspberry Pi's firmware behind /dev/vcio_gencmd, emulated by umockdev for a child process.

umockdev-wrapper python3 emulated_firmware.py COMMAND...: runs the command in the emulated system, for the
system's python3, which has the bindings (python3-gi, gir1.2-umockdev-1.0).
"""

import os
import struct
import subprocess
import sys
import threading

import gi

gi.require_version("UMockdev", "1.0")
from gi.repository import GLib, UMockdev

REQUEST = 0xC0086400
SIZE = 24 + 4096 + 4
REPLIES = {"get_throttled": "throttled=0x50005", "measure_clock arm": "frequency(0)=1000000000"}
DEVICE = """P: /devices/virtual/misc/vcio_gencmd
N: vcio_gencmd
E: DEVNAME=/dev/vcio_gencmd
E: SUBSYSTEM=misc
S: subsystem=misc
"""


def answer(handler, client):
    """As the kernel's vcio passes a message on: the buffer comes back with status and text."""
    if client.get_request() & 0xFFFFFFFF != REQUEST:
        return False
    data = client.get_arg().resolve(0, SIZE)
    message = bytes(data.retrieve())
    size, status, tag, room, _, _ = struct.unpack_from("<6I", message)
    command = message[24:].split(b"\0", 1)[0].decode()
    if (size, status, tag, room) != (SIZE, 0, 0x00030080, 4096) or command not in REPLIES:
        client.complete(-1, 1)  # EPERM, as vcio_gencmd refuses other tags
        return True
    data.update(4, struct.pack("<I", 0x80000000))
    data.update(24, REPLIES[command].encode() + b"\0")
    client.complete(0, 0)
    return True


testbed = UMockdev.Testbed.new()
testbed.add_from_string(DEVICE)
handler = UMockdev.IoctlBase.new()
handler.connect("handle-ioctl", answer)
testbed.attach_ioctl("/dev/vcio_gencmd", handler)
loop = GLib.MainLoop()
codes = []


def child():
    codes.append(subprocess.run(sys.argv[1:], check=False, timeout=60).returncode)
    loop.quit()


threading.Thread(target=child).start()
loop.run()
sys.stdout.flush()
os._exit(codes[0])

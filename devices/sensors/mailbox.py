"""The Raspberry Pi's firmware, asked in text through one ioctl: no process is started.

Layout of the message: raspberrypi/utils, vcgencmd/vcgencmd.c; the kernel's side:
drivers/char/broadcom/vcio.c.  Newer kernels give the group `video` /dev/vcio_gencmd, which passes this
one tag, and keep /dev/vcio for root.
"""

from __future__ import annotations

import errno
import os
import struct
import weakref

from ..reading import Absent
from ..root import Root

NODES = "dev/vcio_gencmd", "dev/vcio"
REQUEST = 0xC0086400 if struct.calcsize("P") == 8 else 0xC0046400  # _IOWR(100, 0, char *)
GET_GENCMD_RESULT = 0x00030080
SUCCESS = 0x80000000
TEXT = 4096  # bytes for the command, and then for the reply
HEADER = struct.Struct("<6I")  # size, status, tag, room, 0, error


class Mailbox:
    """Opened once.  Raises Absent if no node lets us in."""

    def __init__(self, root: Root):
        self._root = root
        self._descriptor = self._open()
        weakref.finalize(self, os.close, self._descriptor)

    def ask(self, command: str) -> str:
        """The firmware's reply to a command of vcgencmd.  Raises Absent."""
        buffer = bytearray(HEADER.size + TEXT + 4)
        HEADER.pack_into(buffer, 0, len(buffer), 0, GET_GENCMD_RESULT, TEXT, 0, 0)
        text = command.encode() + b"\0"
        buffer[HEADER.size : HEADER.size + len(text)] = text
        try:
            self._root.ioctl(self._descriptor, REQUEST, buffer)
        except OSError as error:
            raise Absent(f"{command}: {error.strerror}") from None
        _, status, _, _, _, failed = HEADER.unpack_from(buffer)
        if status != SUCCESS or failed:
            raise Absent(f"{command}: the firmware refused (status {status:#x}, error {failed})")
        reply = bytes(buffer[HEADER.size : HEADER.size + TEXT])
        return reply.split(b"\0", 1)[0].decode("ascii", "replace")

    def value(self, command: str) -> str:
        """What stands behind the equals sign: `61.2'C` of `temp=61.2'C`.  Raises Absent."""
        reply = self.ask(command)
        _, sign, value = reply.partition("=")
        if not sign:
            raise Absent(f"{command}: answered {reply!r:.60}")
        return value.strip()

    def _open(self) -> int:
        """Before the first sensor is made, so that a node that refuses is told from one that is not there."""
        reasons = []
        for node in NODES:
            try:
                return self._root.open(node)
            except OSError as error:
                reasons.append(f"/{node}: {error.strerror}")
                denied = error.errno in (errno.EACCES, errno.EPERM)
                if denied:
                    reasons[-1] += " (sudo usermod -aG video $USER, then log in again)"
        raise Absent("; ".join(reasons))

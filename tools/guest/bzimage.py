"""The kernel ELF inside a bzImage.

A microVM boots the plain ELF (by its PVH note) faster than the compressed image, and machines that
run many guests share its pages. The payload is found by the fields of the x86 boot protocol
(Documentation/arch/x86/boot.rst of the kernel) and not by searching for a magic number, which
could also occur by chance.
"""

import shutil
import struct
import subprocess
import zlib

SETUP_SECTORS_AT = 0x1F1
MAGIC_AT, MAGIC = 0x202, b"HdrS"
VERSION_AT, VERSION_MIN = 0x206, 0x0208  # the payload fields exist since 2.08
PAYLOAD_AT = 0x248
SECTOR = 512
UNPACKED_MAX = 512 << 20

# What the payload begins with -> the program that unpacks it.
PROGRAMS = {
    b"\x02\x21\x4c\x18": ["lz4", "-d", "-c"],  # the legacy frame
    b"\xfd7zXZ\x00": ["xz", "-d", "-c", "--single-stream"],
    b"\x28\xb5\x2f\xfd": ["zstd", "-d", "-c", "-q"],
}
GZIP = b"\x1f\x8b"


class BadKernel(Exception):
    """The file is not a kernel image this code can unpack."""


def _number(image: bytes, at: int, form: str) -> int:
    if at + struct.calcsize(form) > len(image):
        raise BadKernel("the file is too short for a bzImage")
    return struct.unpack_from(form, image, at)[0]


def payload(image: bytes) -> bytes:
    """The compressed kernel, the size that follows it included."""
    version = _number(image, VERSION_AT, "<H")
    if image[MAGIC_AT : MAGIC_AT + 4] != MAGIC:
        raise BadKernel("not a bzImage: the mark HdrS is missing")
    if version < VERSION_MIN:
        raise BadKernel(f"boot protocol {version >> 8}.{version & 255:02} has no payload fields")
    sectors = _number(image, SETUP_SECTORS_AT, "<B") or 4
    start = (sectors + 1) * SECTOR + _number(image, PAYLOAD_AT, "<I")
    length = _number(image, PAYLOAD_AT + 4, "<I")
    if length < 8 or start + length > len(image):
        raise BadKernel("the payload reaches beyond the end of the file")
    return image[start : start + length]


def _run(command: list[str], data: bytes) -> bytes:
    if shutil.which(command[0]) is None:
        raise BadKernel(f"the program {command[0]} is needed to unpack this kernel")
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip()[-300:]
        raise BadKernel(f"{command[0]} cannot unpack the kernel: {reason}")
    return done.stdout


def _gunzip(packed: bytes) -> bytes:
    try:
        return zlib.decompress(packed, wbits=31)
    except zlib.error as error:
        raise BadKernel(f"cannot unpack the kernel: {error}") from error


def unpack(image: bytes) -> bytes:
    """The ELF file in a bzImage, checked against the size the image itself tells."""
    packed = payload(image)
    size = struct.unpack("<I", packed[-4:])[0]
    if size > UNPACKED_MAX:
        raise BadKernel(f"the kernel says it has {size} bytes, more than {UNPACKED_MAX}")
    if packed.startswith(GZIP):
        elf = _gunzip(packed)  # a gzip stream ends with that size by itself
    else:
        for magic, command in PROGRAMS.items():
            if packed.startswith(magic):
                elf = _run(command, packed[:-4])
                break
        else:
            raise BadKernel(f"unknown compression, magic {packed[:6].hex()}")
    if len(elf) != size:
        raise BadKernel(f"unpacked {len(elf)} bytes, the image says {size}")
    if elf[:4] != b"\x7fELF":
        raise BadKernel("the payload is not an ELF file")
    return elf

"""Which kernel modules the guest loads, and in which order.

The order comes from the kernel's own modules.dep: a module is inserted after all it depends on.
The rest of the order is that of WANTED, so equal inputs give an equal list.
"""

WANTED = (
    "virtio_mmio",  # the bus of a microVM; brings virtio and virtio_ring
    "virtio_console",  # first after the bus: the agent's port appears some time after it
    "virtio_net",
    "virtio_blk",
    "virtio_rng",
    "virtio_balloon",
    "button",
    "evdev",
    "pvpanic_mmio",
)


class MissingModule(Exception):
    """The kernel has no such module, neither as a file nor built in."""


def module_name(path: str) -> str:
    """"kernel/drivers/char/hw_random/virtio-rng.ko" -> "virtio_rng": the kernel takes '-' and '_'
    for the same, and so must whoever compares names."""
    return path.rpartition("/")[2].split(".", 1)[0].replace("-", "_")


def parse_dependencies(text: str) -> dict[str, list[str]]:
    """modules.dep: path -> paths of what it needs; the last needed is to be inserted first."""
    needed = {}
    for line in text.splitlines():
        path, colon, rest = line.partition(":")
        if colon:
            needed[path.strip()] = rest.split()
    return needed


def order(dependencies: dict[str, list[str]], builtin: set[str], wanted=WANTED) -> list[str]:
    """The paths to insert, in order. `builtin` are names of modules inside the kernel itself."""
    by_name = {module_name(path): path for path in dependencies}
    result: list[str] = []

    def insert(path: str, above: tuple[str, ...]) -> None:
        if path in above:
            raise ValueError(f"{path} needs itself")
        if path in result:
            return
        for below in reversed(dependencies.get(path, [])):
            insert(below, (*above, path))
        result.append(path)

    for name in wanted:
        if name in by_name:
            insert(by_name[name], ())
        elif name not in builtin:
            raise MissingModule(f"the kernel has no module {name}")
    return result

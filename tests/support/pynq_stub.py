"""The part of PYNQ that a driver meets, as its documentation describes it, over a job device.

An overlay gives each component of its hardware description the driver that names it in ``bindto``,
when it is asked for. Buffers are not coherent: what the processor wrote the device sees after
``flush``, what the device wrote the processor after ``invalidate``.
"""

import types

import numpy as np

__all__ = ["pynq_module"]


class Buffer(np.ndarray):
    """The processor's view. ``behind``: whose memory it is."""

    behind: object

    @property
    def device_address(self):
        return self.behind.address

    def flush(self):
        self.behind.memory[:] = self.view(np.ndarray)

    def invalidate(self):
        self.view(np.ndarray)[:] = self.behind.memory


class Mmio:
    """Single accesses of 32 bits within the window."""

    def __init__(self, device, length):
        self._device, self._length = device, length

    def read(self, offset=0):
        assert 0 <= offset < self._length
        return int(self._device.read(offset))

    def write(self, offset, value):
        assert 0 <= offset < self._length
        self._device.write(offset, int(value))


def pynq_module(device, hardware):
    """A module ``pynq`` whose overlay has these components on this device.

    Parameters
    ----------
    hardware: name -> description: ``type`` is the component's name with vendor, library, version.
    """
    drivers = {}

    class DefaultIP:
        def __init_subclass__(cls, **options):
            super().__init_subclass__(**options)
            drivers.update(dict.fromkeys(getattr(cls, "bindto", []), cls))

        def __init__(self, description):
            self.mmio = Mmio(device, description["addr_range"])

        def read(self, offset=0):
            return self.mmio.read(offset)

        def write(self, offset, value):
            self.mmio.write(offset, value)

    class Overlay:
        def __init__(self, bitfile_name):
            self.bitfile_name = bitfile_name
            self.ip_dict = hardware

        def __getattr__(self, name):
            if name not in hardware:
                raise AttributeError(name)
            made = drivers.get(hardware[name]["type"], DefaultIP)(hardware[name])
            setattr(self, name, made)
            return made

    def allocate(shape, dtype="u4", **kwargs):
        (words,) = shape
        device.memory = np.zeros(words, np.uint32)
        buffer = np.zeros(words, dtype).view(Buffer)
        buffer.behind = device
        return buffer

    module = types.ModuleType("pynq")
    module.DefaultIP, module.Overlay, module.allocate = DefaultIP, Overlay, allocate
    return module

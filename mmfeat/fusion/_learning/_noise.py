"""Random numbers of a training: its own, so that the caller's generators stay as they were, and cheap."""

import numpy as np


class Noise:
    """Random masks on a device, in a state that can be kept and set.

    Parameters
    ----------
    seed : int
    device : str

    Notes
    -----
    torch draws a number on the CPU in several nanoseconds, which for the inputs of two heads is as long as their products
    take. Here a mask is made of bytes of numpy's SFC64, so that shares are multiples of 1/256; kept entries are scaled by
    the share itself, and the mean stays exact.
    """

    def __init__(self, seed, device):
        import torch

        self.device = device
        self._bits = np.random.SFC64(seed)
        self._generator = None if device == "cpu" else torch.Generator(device).manual_seed(seed)

    def dropped(self, batch, share):
        """The batch with a share of its entries set to zero and the others scaled up; as it is where the share is 0."""
        import torch

        level = min(255, round(256 * share))
        if level == 0:
            return batch
        kept = 256 / (256 - level)
        if self._generator is None:
            # Words of 64 bits as they come: a tenth of the time of `Generator.bytes`.
            drawn = self._bits.random_raw(-(-batch.numel() // 8)).view(np.uint8)[: batch.numel()]
            # In numpy: torch takes ten times as long to compare bytes and to make numbers of the outcome.
            mask = torch.from_numpy(np.multiply(drawn >= level, np.float32(kept), dtype=np.float32))
            return batch * mask.view(batch.shape)
        drawn = torch.randint(256, batch.shape, dtype=torch.uint8, device=batch.device, generator=self._generator)
        return batch * (drawn >= level).to(batch.dtype).mul_(kept)

    def state(self):
        """What the next masks depend on, as plain values."""
        generator = None if self._generator is None else self._generator.get_state().cpu().numpy()
        return {"words": [int(word) for word in self._bits.state["state"]["state"]], "generator": generator}

    def restore(self, state):
        """Go on from a state."""
        import torch

        words = np.array(state["words"], dtype=np.uint64)
        self._bits.state = {"bit_generator": "SFC64", "state": {"state": words}, "has_uint32": 0, "uinteger": 0}
        if self._generator is not None:
            self._generator.set_state(torch.from_numpy(state["generator"]))

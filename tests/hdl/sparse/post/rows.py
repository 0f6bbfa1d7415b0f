"""The order in which rows reach a post unit (docs/machine.md)."""

from collections.abc import Iterator

__all__ = ["step_tags"]


def step_tags(gates: int, words: int, holes: int, hidden: bool) -> Iterator[dict[str, int]]:
    """The tags of one step: ``words`` neurons, then ``holes`` holes in the final half."""
    for half in (0, 1) if hidden else (0,):
        final = int(half == hidden)
        items = [(gate, 0) for _ in range(words) for gate in range(gates)]
        items += [(0, 1)] * (holes if final else 0)
        for index, (gate, hole) in enumerate(items):
            last = index == len(items) - 1
            yield {
                "half": half,
                "gate": gate,
                "last_gate": int(hole or gate == gates - 1),
                "hole": hole,
                "half_end": int(last),
                "step_end": int(last and final),
                "final": final,
            }

"""Which group, block and place each row of a half has (docs/machine.md)."""

from dataclasses import dataclass

import numpy as np

from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.aliases import IntArray

__all__ = ["DealtRows", "deal_rows"]


@dataclass(frozen=True, eq=False)
class DealtRows:
    """Rows of a half, [gates, units], by position.

    Members
    -------
    group: that computes the row, of all clusters' groups.
    block: of its group, in the order in which a lane works them off.
    place: in the block, below the machine's width.
    number: of its block in the whole half, in the order in which the collectors take them: those of
        all clusters in turn.
    blocks: of each group, [groups].
    turns: the group that each of those numbers stands for; a cluster with fewer neurons than others
        has none at the end of its.
    """

    group: IntArray
    block: IntArray
    place: IntArray
    number: IntArray
    blocks: IntArray
    turns: IntArray


def deal_rows(
    config: SparseConfig, units: int, gates: int, v_log2: int, halves_before: int
) -> DealtRows:
    """Deal the rows of each cluster to its groups: neuron by neuron, or where a lane works on
    several rows at once block by block.

    Parameters
    ----------
    halves_before: in the loop, whose rows were dealt before; 0 where each half begins anew.
    """
    clusters, in_cluster = config.post_units, config.cluster_lanes >> v_log2
    position = np.arange(units)
    cluster, word = position % clusters, position // clusters
    gate = np.arange(gates)[:, np.newaxis]
    row = word * gates + gate
    at_once = config.dealt_rows(gates)
    turn = row // at_once
    turns = np.full(clusters, ceil_div(units, clusters))  # of each cluster
    if not config.by_word:
        words = -(-(units - np.arange(clusters)) // clusters)
        turns = -(-words * gates // at_once)
    group = (turn + halves_before * turns[cluster]) % in_cluster * clusters + cluster
    block, place, number = turn // in_cluster, row % at_once, turn * clusters + cluster
    if config.by_word:
        block, place, number = block * gates + gate, row * 0, number * gates + gate
    blocks = np.zeros(in_cluster * clusters, np.int64)
    np.maximum.at(blocks, group, block + 1)
    turns_of = np.arange(int(turns.max()))[:, np.newaxis]
    in_turn = (turns_of + halves_before * turns) % in_cluster * clusters + np.arange(clusters)
    return DealtRows(group, block, place, number, blocks, in_turn.reshape(-1))

"""Ranks that exchange tensors through shared memory: real forked processes."""

import multiprocessing
import os
import signal

import pytest
import torch

from rlexp.launch.board import ROOM, Board

fork = multiprocessing.get_context("fork")


def tensor_of(rank: int, turn: int) -> torch.Tensor:
    size = 1 + 7 * turn % 50
    return torch.arange(size, dtype=torch.float64 if turn % 3 else torch.int32) + 1_000 * rank + turn


def exchange(board: Board, rank: int, members: range, turns: int) -> None:
    for turn in range(turns):
        found = board.exchange(tensor_of(rank, turn), rank, members)
        expected = torch.stack([tensor_of(member, turn) for member in members])
        assert torch.equal(found, expected), turn


def run(target, ranks: range, *args) -> list[int]:
    processes = [fork.Process(target=target, args=(args[0], rank, *args[1:])) for rank in ranks]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


@pytest.mark.parametrize("members", [range(2), range(3), range(1, 4)], ids=str)
def test_every_member_reads_what_all_posted_in_every_turn(members):
    board = Board(fork, members.stop, timeout=30)
    assert run(exchange, members, board, members, 2_000) == [0] * len(members)


def test_a_member_that_does_not_post_is_given_up():
    board = Board(fork, 2, timeout=0.1)
    with pytest.raises(RuntimeError, match=r"timed out after 0\.1 s waiting for rank 1"):
        board.exchange(torch.zeros(3), 0, range(2))


def test_what_is_too_large_does_not_fit():
    board = Board(fork, 2, timeout=1)
    assert board.fits(torch.zeros(ROOM // 4))
    assert not board.fits(torch.zeros(ROOM // 4 + 1))


def wait_for_ever(board: Board, rank: int) -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
    board.exchange(torch.zeros(3), rank, range(2))


def test_a_signal_reaches_a_member_that_waits():
    board = Board(fork, 2, timeout=60)
    process = fork.Process(target=wait_for_ever, args=(board, 0))
    process.start()
    assert board._posted[0][1].acquire(True, 30)  # it has posted, and waits
    process.terminate()
    process.join(5)
    assert process.exitcode == 7

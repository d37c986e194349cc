"""Batches side by side: the same answers in the same order, and nothing left behind."""

import threading

import pytest
import torch

from electra.model.side_by_side import MOST_THREADS, side_by_side

pytestmark = pytest.mark.fast

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 2, 9])
def cores(request):
    """So many cores for torch, during the test."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    assert torch.get_num_threads() == request.param
    torch.set_num_threads(before)


def test_answers_come_in_order_without_gradients(cores):
    weight = torch.randn(3, 3, requires_grad=True)
    items = [torch.randn(n % 5 + 1, 3) for n in range(40)]
    found = list(side_by_side(lambda item: item @ weight, iter(items), CPU))
    assert not any(one.requires_grad for one in found) and torch.is_grad_enabled()
    for item, one in zip(items, found, strict=True):
        torch.testing.assert_close(one, item @ weight)


def test_each_thread_has_its_share_of_the_cores(cores):
    count = min(cores, MOST_THREADS)
    together = threading.Barrier(count)  # is passed by that many at once only

    def predict(item):
        together.wait(10)
        return torch.get_num_threads(), threading.get_ident()

    found = list(side_by_side(predict, range(3 * count), CPU))
    assert {share for share, _ in found} == {cores // count}
    assert len({thread for _, thread in found}) == count


def test_few_items_are_read_ahead_and_an_end_leaves_no_thread(cores):
    read = []

    def items():
        for i in range(1_000):
            read.append(i)
            yield i

    before = threading.active_count()
    answers = side_by_side(lambda item: item, items(), CPU)
    assert [next(answers) for _ in range(3)] == [0, 1, 2]
    assert len(read) <= 3 + 2 * MOST_THREADS
    answers.close()
    assert threading.active_count() == before


def test_a_problem_is_raised_in_the_place_of_its_answer(cores):
    answers = side_by_side(lambda item: 1 // (item - 2), range(9), CPU)
    assert [next(answers), next(answers)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(answers)


def test_a_gpu_does_one_batch_at_a_time(cores):
    found = side_by_side(lambda _: threading.get_ident(), range(5), torch.device("cuda"))
    assert set(found) == {threading.get_ident()}

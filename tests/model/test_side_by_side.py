"""Batches side by side: the same answers in the same order, and nothing left behind."""

import threading

import pytest
import torch

from electra.model.attention import attend
from electra.model.side_by_side import MOST_THREADS, shares_of_cores, side_by_side

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
    assert {share for share, _ in found} == set(shares_of_cores(cores, count))
    assert len({thread for _, thread in found}) == count


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_items_have_all_cores(cores, count):
    """Together, that is: one batch is computed as fast as all cores can."""
    found = list(side_by_side(lambda _: torch.get_num_threads(), iter(range(count)), CPU))
    assert len(found) == count
    if count:
        threads = min(count, cores, MOST_THREADS)
        assert cores // threads <= min(found) <= max(found) <= -(-cores // threads)


def test_cores_are_shared_out_equally_and_none_is_left():
    for cores in range(1, 20):
        for threads in range(1, 5):
            shares = shares_of_cores(cores, threads)
            assert len(shares) == threads and max(shares) - min(shares) <= 1
            assert sum(shares) == max(cores, threads)


def test_threads_in_other_precisions_do_not_disturb_each_other(monkeypatch):
    """Attention leaves autocast for a while, and comes back to that of its own thread."""
    together, product = threading.Barrier(2), torch.baddbmm
    before = torch.get_num_threads()
    torch.set_num_threads(2)

    def meet(*arguments, **options):
        together.wait(10)
        return product(*arguments, **options)

    def predict(dtype):
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            attend(torch.randn(2, 5, 3, 2, 4), None, 0.0)
            together.wait(10)
            return torch.is_autocast_enabled("cpu")

    monkeypatch.setattr(torch, "baddbmm", meet)
    assert list(side_by_side(predict, [torch.bfloat16, None] * 8, CPU)) == [True, False] * 8
    torch.set_num_threads(before)


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

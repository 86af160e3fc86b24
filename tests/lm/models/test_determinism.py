"""The same step gives the same bytes, at sizes where torch works with several threads."""

import torch

from stages.lm.models.layers import Embedding


def test_the_gradient_of_an_embedding_is_added_up_in_a_fixed_order() -> None:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(16, (16, 256), generator=generator)  # every id many times
    upstream = torch.randn(16, 256, 128, generator=generator)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        table = Embedding(1024, 128)
        gradients = [torch.autograd.grad(table(ids), table.weight, upstream)[0] for _ in range(20)]
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(gradients[0], other) for other in gradients[1:])

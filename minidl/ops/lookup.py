"""Looking rows up in a table, and the adjoint: adding rows up where they came from."""

from __future__ import annotations

from typing import Any

from minidl import kernels
from minidl.ops.coercion import constant_beside
from minidl.tensors import Op, Tensor, as_tensor


class Embedding(Op):
    """y[…] = table[ids[…]];  dtable[i] = Σ dy over the places where ids = i"""

    reads_inputs = False
    makes_gradients = True

    def forward(self, table: Any, ids: Any) -> Any:
        self.ids, self.rows = ids, table.shape[0]
        return kernels.of(table).embedding_forward(table, ids)

    def backward(self, dy: Any) -> Any:
        return ScatterRows.apply(dy, ids=self.ids, rows=self.rows)


class ScatterRows(Op):
    """y = zeros (rows, U) with each row of x added at its id;  dx[…] = dy[ids[…]]"""

    reads_inputs = False
    makes_gradients = True

    def forward(self, x: Any, ids: Any, rows: int) -> Any:
        self.ids = ids
        return kernels.of(x).embedding_backward(x, ids, rows)

    def backward(self, dy: Any) -> Any:
        return Embedding.apply(dy, ids=self.ids)


def embedding(table: Any, ids: Any) -> Tensor:
    """The rows of the table at the ids. Table (N, U), integer ids of any shape → ids.shape + (U,)

    >>> import minidl as md
    >>> md.embedding(md.Tensor([[1.0, 2.0], [3.0, 4.0]]), [1, 0, 1])
    Tensor([[3., 4.],
            [1., 2.],
            [3., 4.]])
    """
    table = as_tensor(table)
    return Embedding.apply(table, ids=constant_beside("embedding", ids, table).copy())

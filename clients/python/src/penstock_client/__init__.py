# SPDX-License-Identifier: Apache-2.0
"""GraphPipe client of Penstock: numpy arrays in and out.

    with penstock_client.Client('http://localhost:8501') as client:
        y = client.model('half_plus_two').infer_one(np.array([1, 2, 5], np.float32))

`AsyncClient` is the same for asyncio; it needs aiohttp (pip install 'penstock-client[asyncio]')."""
from .client import Client, Model
from .errors import (BadRequest, ConnectionFailed, ConnectionLost, Error, Forbidden, NotFound, ProtocolError, ServerError,
                     TimeoutExpired, TooLarge, Unauthorized, Unavailable)
from .message import IOMetadata, ModelMetadata, Outputs
from .options import Retry

__version__ = '0.1.0'
__all__ = ['AsyncClient', 'AsyncModel', 'BadRequest', 'Client', 'ConnectionFailed', 'ConnectionLost', 'Error', 'Forbidden',
           'IOMetadata', 'Model', 'ModelMetadata', 'NotFound', 'Outputs', 'ProtocolError', 'Retry', 'ServerError',
           'TimeoutExpired', 'TooLarge', 'Unauthorized', 'Unavailable']


def __getattr__(name):
    # aiohttp is imported only by those who use it.
    if name in ('AsyncClient', 'AsyncModel'):
        try:
            from . import aio
        except ModuleNotFoundError as error:
            if error.name not in ('aiohttp', 'yarl'):
                raise
            raise ImportError(f"{name} needs aiohttp: pip install 'penstock-client[asyncio]'") from error
        return getattr(aio, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

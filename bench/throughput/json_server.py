# SPDX-License-Identifier: Apache-2.0
"""How one serves an ONNX model with Python and JSON, made as quick as that goes: orjson reads and writes, also numpy's arrays.
The environment variable MODEL is the file."""
import os

import numpy as np
import onnxruntime
import orjson
from fastapi import FastAPI, Request, Response

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
app = FastAPI()


@app.post("/predict")
async def predict(request: Request):
    x = np.array(orjson.loads(await request.body())["inputs"], np.float32)
    y, = session.run(None, {"x": x})
    return Response(orjson.dumps({"outputs": y}, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")

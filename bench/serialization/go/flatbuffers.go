// SPDX-License-Identifier: Apache-2.0

package main

import flatbuffers "github.com/google/flatbuffers/go"

// GraphPipe's messages by flatbuffers' own package for Go, as code of flatc would write and read them.

func flatbuffersRequest(x []float32, shape []int) [][]byte {
	b := flatbuffers.NewBuilder(4*len(x) + 1024)
	tensors := tensorList(b, x, shape)
	config := b.CreateString("")
	b.StartVector(4, 0, 4)
	names := b.EndVector(0)
	b.StartObject(4)
	for slot, offset := range []flatbuffers.UOffsetT{config, names, tensors, names} {
		b.PrependUOffsetTSlot(slot, offset, 0)
	}
	infer := b.EndObject()
	b.StartObject(2)
	b.PrependByteSlot(0, 1, 0)
	b.PrependUOffsetTSlot(1, infer, 0)
	b.Finish(b.EndObject())
	return [][]byte{b.FinishedBytes()}
}

func flatbuffersAnswer(x []float32, shape []int) []byte {
	b := flatbuffers.NewBuilder(4*len(x) + 1024)
	tensors := tensorList(b, x, shape)
	b.StartObject(2)
	b.PrependUOffsetTSlot(0, tensors, 0)
	b.Finish(b.EndObject())
	return append([]byte(nil), b.FinishedBytes()...)
}

func tensorList(b *flatbuffers.Builder, x []float32, shape []int) flatbuffers.UOffsetT {
	data := b.CreateByteVector(bytesOf(x))
	b.StartVector(8, len(shape), 8)
	for i := len(shape) - 1; i >= 0; i-- {
		b.PrependInt64(int64(shape[i]))
	}
	dims := b.EndVector(len(shape))
	b.StartObject(4)
	b.PrependByteSlot(0, 10, 0)
	b.PrependUOffsetTSlot(1, dims, 0)
	b.PrependUOffsetTSlot(2, data, 0)
	tensor := b.EndObject()
	b.StartVector(4, 1, 4)
	b.PrependUOffsetT(tensor)
	return b.EndVector(1)
}

func flatbuffersRead(message []byte) []float32 {
	answer := flatbuffers.Table{Bytes: message, Pos: flatbuffers.GetUOffsetT(message)}
	return firstTensor(&answer, 4)
}

func flatbuffersWritten(message []byte) []float32 {
	request := flatbuffers.Table{Bytes: message, Pos: flatbuffers.GetUOffsetT(message)}
	at := request.Pos + flatbuffers.UOffsetT(request.Offset(6))
	infer := flatbuffers.Table{Bytes: message, Pos: request.Indirect(at)}
	return firstTensor(&infer, 8)
}

// firstTensor is that of the list in a field, which has the position `slot` in the vtable.
func firstTensor(t *flatbuffers.Table, slot flatbuffers.VOffsetT) []float32 {
	list := t.Vector(flatbuffers.UOffsetT(t.Offset(slot)))
	tensor := flatbuffers.Table{Bytes: t.Bytes, Pos: t.Indirect(list)}
	return floatsOf(tensor.ByteVector(flatbuffers.UOffsetT(tensor.Offset(8)) + tensor.Pos))
}

"""An ONNX model of one multiplication, for checks of ONNX Runtime; a service has models of its own."""

# c = a @ b of 32-bit floats, field by field of onnx.proto.
MODEL = (
    b"\x08\x08B\x04\x0a\x00\x10\x0d"  # intermediate representation 8, operator set 13
    b"\x3a\x37\x0a\x11\x0a\x01a\x0a\x01b\x12\x01c\x22\x06MatMul"  # the graph and its one node
    b"\x12\x01g\x5a\x09\x0a\x01a\x12\x04\x0a\x02\x08\x01"  # its name, and its inputs
    b"\x5a\x09\x0a\x01b\x12\x04\x0a\x02\x08\x01"
    b"\x62\x09\x0a\x01c\x12\x04\x0a\x02\x08\x01"  # its output
)

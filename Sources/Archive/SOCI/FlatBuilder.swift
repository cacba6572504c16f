/// Writes FlatBuffers from front to back: a table first, then what its fields refer to. Every table of one shape shares one
/// vtable and has all its fields, so equal values make equal bytes.
struct FlatBuilder {
    private(set) var bytes: [UInt8] = [0, 0, 0, 0]

    /// Widths in bytes of a table's fields, in the order of the schema; the widest that occurs is 8.
    struct Shape {
        let widths: [Int]
        fileprivate let offsets: [Int]
        fileprivate let size: Int
        fileprivate var vtable: Int?

        init(_ widths: Int...) {
            var offsets: [Int] = []
            // The table begins with the way to its vtable.
            var position = 4
            for width in widths {
                position = (position + width - 1) & ~(width - 1)
                offsets.append(position)
                position += width
            }
            self.widths = widths
            self.offsets = offsets
            size = position
        }
    }

    /// Where a field of a table that has been written lies, to be filled in.
    struct Slots {
        fileprivate let position: Int
        fileprivate let offsets: [Int]
        subscript(_ field: Int) -> Int { position + offsets[field] }
    }

    /// Appends a table of zeros.
    mutating func table(_ shape: inout Shape) -> Slots {
        if shape.vtable == nil {
            align(2)
            shape.vtable = bytes.count
            append(UInt16(4 + 2 * shape.offsets.count))
            append(UInt16(shape.size))
            for offset in shape.offsets { append(UInt16(offset)) }
        }
        align(8)
        let position = bytes.count
        append(Int32(position - (shape.vtable ?? 0)))
        bytes.append(contentsOf: repeatElement(0, count: shape.size - 4))
        return Slots(position: position, offsets: shape.offsets)
    }

    /// Appends a vector of `count` elements of `stride` bytes, zeros, and says where the first lies.
    mutating func vector(_ count: Int, stride: Int, at slot: Int) -> Int {
        align(4)
        refer(from: slot)
        append(UInt32(count))
        bytes.append(contentsOf: repeatElement(0, count: count * stride))
        return bytes.count - count * stride
    }

    mutating func string(_ text: some Collection<UInt8>, at slot: Int) {
        align(4)
        refer(from: slot)
        append(UInt32(text.count))
        bytes.append(contentsOf: text)
        bytes.append(0)
    }

    mutating func blob(_ content: [UInt8], at slot: Int) {
        align(4)
        refer(from: slot)
        append(UInt32(content.count))
        bytes.append(contentsOf: content)
    }

    /// The root, or an element of a vector, or a field: makes it refer to the table.
    mutating func refer(from slot: Int, to table: Slots) { put(UInt32(table.position - slot), at: slot) }

    mutating func put<Value: FixedWidthInteger>(_ value: Value, at slot: Int) {
        withUnsafeBytes(of: value.littleEndian) { source in
            for (position, byte) in source.enumerated() { bytes[slot + position] = byte }
        }
    }

    private mutating func refer(from slot: Int) { put(UInt32(bytes.count - slot), at: slot) }

    private mutating func align(_ alignment: Int) {
        while bytes.count & (alignment - 1) != 0 { bytes.append(0) }
    }

    private mutating func append<Value: FixedWidthInteger>(_ value: Value) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
}

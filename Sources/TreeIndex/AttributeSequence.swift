/// The extended attributes in a block of an index, in order of their names. Both halves point into the block.
///
/// Layout of an attribute: name length (u16), value length (u32), name, value; nothing is aligned.
public struct AttributeSequence: Sequence, IteratorProtocol {
    /// - Note: valid as long as the index.
    public typealias Element = (name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)

    @usableFromInline static var headBytes: Int { 6 }
    @usableFromInline var rest: UnsafeRawBufferPointer

    @usableFromInline init(block: UnsafeRawBufferPointer) { rest = block }

    /// Ends early where the block is cut short, which validation rules out: see `isWhole`.
    @inlinable public mutating func next() -> Element? {
        guard rest.count >= Self.headBytes else { return nil }
        let nameLength = Int(rest.loadUnaligned(fromByteOffset: 0, as: UInt16.self))
        let valueLength = Int(rest.loadUnaligned(fromByteOffset: 2, as: UInt32.self))
        let end = Self.headBytes + nameLength + valueLength
        guard end <= rest.count else { return nil }
        let name = UnsafeRawBufferPointer(rebasing: rest[Self.headBytes..<Self.headBytes + nameLength])
        let value = UnsafeRawBufferPointer(rebasing: rest[Self.headBytes + nameLength..<end])
        rest = UnsafeRawBufferPointer(rebasing: rest[end...])
        return (name, value)
    }

    /// After the last element: whether the block ended with it.
    var isWhole: Bool { rest.isEmpty }

    static func append(name: [UInt8], value: [UInt8], to block: inout [UInt8]) {
        withUnsafeBytes(of: UInt16(truncatingIfNeeded: name.count)) { block.append(contentsOf: $0) }
        withUnsafeBytes(of: UInt32(truncatingIfNeeded: value.count)) { block.append(contentsOf: $0) }
        block += name
        block += value
    }
}

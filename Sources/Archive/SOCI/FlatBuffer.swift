/// Reads FlatBuffers (flatbuffers.dev, "Internals") as far as zTOCs need them: tables with scalars, strings, tables, and
/// vectors of bytes, strings and tables. Every offset comes from a stranger: each access is checked, nothing recurses, and
/// what is taken out of a buffer is bounded by its size, so that a small one whose records all point at one large string
/// cannot ask for more memory than a large one.
struct FlatBuffer {
    private let bytes: UnsafeRawBufferPointer
    /// Bytes that may still be taken out. Writers may share strings, so it is more than there are.
    private var allowance: Int

    /// - Precondition: `bytes` outlives this value.
    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        allowance = 4 * bytes.count
    }

    /// A table, and the vtable that says where its fields are.
    struct Table {
        fileprivate let position: Int
        fileprivate let size: Int
        fileprivate let vtable: Int
        fileprivate let vtableSize: Int
    }

    /// Where the elements of a vector begin, and how many there are.
    struct Vector {
        fileprivate let position: Int
        let count: Int
    }

    static var malformed: ArchiveError { ArchiveError(.malformed, "an offset points outside of the file") }

    func root() throws(ArchiveError) -> Table { try table(at: reference(at: 0)) }

    // MARK: fields, by their number in the schema

    func integer<Value: FixedWidthInteger>(_ table: Table, _ field: Int, default value: Value = 0) throws(ArchiveError) -> Value {
        guard let position = try place(of: field, in: table, size: MemoryLayout<Value>.size) else { return value }
        return try load(at: position)
    }

    func table(_ table: Table, _ field: Int) throws(ArchiveError) -> Table? {
        guard let position = try place(of: field, in: table, size: 4) else { return nil }
        return try self.table(at: reference(at: position))
    }

    /// The bytes of a string; empty where there is none.
    mutating func string(_ table: Table, _ field: Int) throws(ArchiveError) -> [UInt8] {
        guard let position = try place(of: field, in: table, size: 4) else { return [] }
        return try string(at: reference(at: position))
    }

    /// - Parameter stride: bytes of an element; 4 for strings and tables.
    func vector(_ table: Table, _ field: Int, stride: Int) throws(ArchiveError) -> Vector? {
        guard let position = try place(of: field, in: table, size: 4) else { return nil }
        return try vector(at: reference(at: position), stride: stride)
    }

    // MARK: elements

    /// - Precondition: `index < vector.count`, and the vector is one of tables.
    func table(_ vector: Vector, at index: Int) throws(ArchiveError) -> Table { try table(at: reference(at: vector.position + 4 * index)) }

    /// - Precondition: `index < vector.count`, and the vector is one of strings.
    mutating func string(_ vector: Vector, at index: Int) throws(ArchiveError) -> [UInt8] {
        try string(at: reference(at: vector.position + 4 * index))
    }

    /// Where in the file the elements of a vector of bytes lie.
    func range(of vector: Vector) -> Range<Int> { vector.position..<vector.position + vector.count }

    /// The bytes of a vector of bytes.
    func bytes(of vector: Vector) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[range(of: vector)]) }

    /// Takes `count` bytes off what may still be taken out.
    mutating func charge(_ count: Int) throws(ArchiveError) {
        allowance -= count
        guard allowance >= 0 else { throw ArchiveError(.limitExceeded, "its records share each other's parts to unpack to more than four times its size") }
    }

    // MARK: bytes

    private mutating func string(at position: Int) throws(ArchiveError) -> [UInt8] {
        let content = bytes(of: try vector(at: position, stride: 1))
        try charge(content.count)
        return Array(content)
    }

    private func vector(at position: Int, stride: Int) throws(ArchiveError) -> Vector {
        let count = Int(try load(at: position) as UInt32)
        guard count <= (bytes.count - position - 4) / stride else { throw Self.malformed }
        return Vector(position: position + 4, count: count)
    }

    private func table(at position: Int) throws(ArchiveError) -> Table {
        let vtable = position - Int(try load(at: position) as Int32)
        guard vtable >= 0 else { throw Self.malformed }
        let vtableSize = Int(try load(at: vtable) as UInt16)
        guard vtableSize >= 4, vtableSize <= bytes.count - vtable else { throw Self.malformed }
        let size = Int(try load(at: vtable + 2) as UInt16)
        guard size >= 4, size <= bytes.count - position else { throw Self.malformed }
        return Table(position: position, size: size, vtable: vtable, vtableSize: vtableSize)
    }

    private func place(of field: Int, in table: Table, size: Int) throws(ArchiveError) -> Int? {
        let slot = 4 + 2 * field
        guard slot + 2 <= table.vtableSize else { return nil }
        let offset = Int(try load(at: table.vtable + slot) as UInt16)
        if offset == 0 { return nil }
        guard offset >= 4, offset <= table.size - size else { throw Self.malformed }
        return table.position + offset
    }

    private func reference(at position: Int) throws(ArchiveError) -> Int { position + Int(try load(at: position) as UInt32) }

    private func load<Value: FixedWidthInteger>(at position: Int) throws(ArchiveError) -> Value {
        guard position >= 0, position <= bytes.count - MemoryLayout<Value>.size else { throw Self.malformed }
        return Value(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: Value.self))
    }
}

// A live tree answers everything at once, so nothing comes here but by a caller's mistake; it gets the same answer.
extension LiveTree {
    public func coldLookup(_ parent: NodeID, _ name: [UInt8]) async throws(FSError) -> Entry {
        try Self.ready(try name.span.withUnsafeBytes { name throws(FSError) in try lookup(parent, name) })
    }

    public func coldAttributes(_ node: NodeID) async throws(FSError) -> Entry { try Self.ready(try attributes(node)) }
    public func coldOpen(_ node: NodeID, flags: Int32) async throws(FSError) -> OpenedFile { try Self.ready(try open(node, flags: flags)) }

    public func coldReadDirectory(_ node: NodeID, from offset: UInt64, wantsEntries: Bool, limit: Int) async throws(FSError) -> ListingPart {
        guard let part = try collectedDirectory(node, from: offset, wantsEntries: wantsEntries, limit: limit) else { throw .io }
        return part
    }

    public func coldReadLink(_ node: NodeID) async throws(FSError) -> [UInt8] {
        try Self.bytes(4096) { buffer throws(FSError) in try Self.ready(try readLink(node, into: buffer)) }
    }

    public func coldRead(_ node: NodeID, handle: UInt64, at offset: UInt64, count: Int) async throws(FSError) -> [UInt8] {
        try Self.bytes(count) { buffer throws(FSError) in try Self.ready(try read(node, handle: handle, at: offset, into: buffer)) }
    }

    private static func ready<Value>(_ answer: Answer<Value>) throws(FSError) -> Value {
        guard case .ready(let value) = answer else { throw .io }
        return value
    }

    private static func bytes(
        _ limit: Int, _ body: (UnsafeMutableRawBufferPointer) throws(FSError) -> Int
    ) throws(FSError) -> [UInt8] {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: limit, alignment: 8)
        defer { buffer.deallocate() }
        return [UInt8](buffer.prefix(try body(buffer)))
    }
}

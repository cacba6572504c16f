import OCI

/// A finished index that is not a file yet.
public struct IndexDocument: Sendable {
    private let header: IndexHeader
    private let tables: TreeTables

    init(header: IndexHeader, tables: TreeTables) {
        self.tables = tables
        var header = header
        header.contentSize = tables.contentSize
        var position = UInt64(MemoryLayout<IndexHeader>.size)
        for section in IndexSection.allCases {
            position = Self.aligned(position)
            let bytes = tables.withBytes(of: section) { $0.count }
            header[section] = .init(offset: position, count: UInt64(bytes / section.stride))
            position += UInt64(bytes)
        }
        header.fileSize = position
        header.checksum = RawDigest(Self.checksum(header, tables))
        self.header = header
    }

    /// Size of the file in bytes.
    public var byteCount: Int { Int(header.fileSize) }

    /// Hands the file over piece by piece, in order.
    public func write<Failure>(to sink: (UnsafeRawBufferPointer) throws(Failure) -> Void) throws(Failure) {
        // Typed errors do not pass through `withUnsafeBytes` of every collection: the first one is kept and rethrown.
        var failure: Failure?
        forEachPiece { piece in
            guard failure == nil else { return }
            do throws(Failure) { try sink(piece) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// The whole file in memory.
    public var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(byteCount)
        forEachPiece { bytes.append(contentsOf: $0) }
        return bytes
    }

    private func forEachPiece(_ body: (UnsafeRawBufferPointer) -> Void) {
        withUnsafeBytes(of: header, body)
        Self.forEachSection(header, tables, body)
    }

    private static func checksum(_ header: IndexHeader, _ tables: TreeTables) -> Digest {
        var hasher = DigestHasher()
        withUnsafeBytes(of: header) { hasher.update(UnsafeRawBufferPointer(rebasing: $0[IndexFormat.checkedFrom...])) }
        forEachSection(header, tables) { hasher.update($0) }
        return hasher.finish()
    }

    /// Every section with the zero bytes before it.
    private static func forEachSection(_ header: IndexHeader, _ tables: TreeTables, _ body: (UnsafeRawBufferPointer) -> Void) {
        var position = UInt64(MemoryLayout<IndexHeader>.size)
        let zeros: UInt64 = 0
        for section in IndexSection.allCases {
            let gap = Int(header[section].offset - position)
            if gap > 0 { withUnsafeBytes(of: zeros) { body(UnsafeRawBufferPointer(rebasing: $0[..<gap])) } }
            tables.withBytes(of: section, body)
            position = header[section].offset + header[section].count * UInt64(section.stride)
        }
    }

    static func aligned(_ position: UInt64) -> UInt64 {
        (position &+ UInt64(IndexFormat.sectionAlignment - 1)) & ~UInt64(IndexFormat.sectionAlignment - 1)
    }
}

extension TreeTables {
    fileprivate func withBytes<Result>(of section: IndexSection, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        switch section {
        case .nodes: nodes.withUnsafeBytes(body)
        case .children: children.withUnsafeBytes(body)
        case .heap: heap.withUnsafeBytes(body)
        case .attributes: attributes.withUnsafeBytes(body)
        case .runs: runs.withUnsafeBytes(body)
        case .spans: spans.withUnsafeBytes(body)
        case .chunks: chunks.withUnsafeBytes(body)
        case .objects: objects.withUnsafeBytes(body)
        case .layers: layers.withUnsafeBytes(body)
        case .starts: starts.withUnsafeBytes(body)
        case .windows: windows.withUnsafeBytes(body)
        }
    }
}

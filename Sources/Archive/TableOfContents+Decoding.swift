extension TableOfContents {
    /// Decodes the JSON of a table of contents, which eStargz and zstd:chunked share, and checks it against itself and
    /// the blob: known types, bounded names and sizes, chunks that cover every file exactly, sources inside the blob.
    ///
    /// - Parameter dataEnd: offset in the blob at which the data ends and the table begins.
    public init(json bytes: [UInt8], dataEnd: UInt64, limits: ArchiveLimits = ArchiveLimits()) throws(ArchiveError) {
        self = try ArchiveError.reading {
            try bytes.withUnsafeBytes { try TableOfContents(json: $0, dataEnd: dataEnd, limits: limits) }
        }
    }

    init(json bytes: UnsafeRawBufferPointer, dataEnd: UInt64, limits: ArchiveLimits) throws(ArchiveError) {
        guard bytes.count <= limits.tableLength else {
            throw ArchiveError(.limitExceeded, "a table of contents of \(bytes.count) bytes is over the limit of \(limits.tableLength)")
        }
        var json = JSONReader(bytes)
        var assembly = TOCAssembly(dataEnd: dataEnd, limits: limits)
        var version: Int64?
        do throws(ArchiveError) {
            try json.object { (json, key) throws(ArchiveError) in
                if key.elementsEqual("version".utf8) {
                    version = try json.integer()
                } else if key.elementsEqual("entries".utf8) {
                    try json.array { (json) throws(ArchiveError) in try assembly.add(reading: &json) }
                } else {
                    try json.skip()
                }
            }
            try json.end()
        } catch {
            throw error.about("table of contents")
        }
        guard version == 1 else {
            throw ArchiveError(.unsupported, "version \(version.map(String.init) ?? "unknown") of a table of contents is not one that Larder reads")
        }
        self = try assembly.finish()
    }

    /// Whether a path is one of the members that eStargz adds to a layer for its own purposes.
    public static func isHidden(_ path: [UInt8]) -> Bool { marker(path) != nil }

    enum Marker {
        case prefetch, noPrefetch, table
    }

    static func marker(_ path: [UInt8]) -> Marker? {
        // The shortest has 17 bytes: nearly every name is done with here.
        guard (17...64).contains(path.count) else { return nil }
        var name = path[...]
        while name.starts(with: "./".utf8) { name = name.dropFirst(2) }
        while name.first == UInt8(ascii: "/") { name = name.dropFirst() }
        if name.elementsEqual(".prefetch.landmark".utf8) { return .prefetch }
        if name.elementsEqual(".no.prefetch.landmark".utf8) { return .noPrefetch }
        return name.elementsEqual("stargz.index.json".utf8) ? .table : nil
    }
}

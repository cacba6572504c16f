import OCI

/// One element of `entries` in the JSON of a table of contents, as it stands there.
///
/// The keys are those of stargz-snapshotter's `TOCEntry` (estargz/types.go) and of containers/storage's `FileMetadata`
/// (pkg/chunked/internal), which agree.
struct TOCRecord {
    enum Kind {
        case entry(ArchiveEntry.Kind)
        case chunk
    }

    var kind: Kind?
    var path: [UInt8] = []
    var linkTarget: [UInt8] = []
    var mode: Int64 = 0
    var uid: Int64 = 0
    var gid: Int64 = 0
    var size: Int64 = 0
    var modified = Timestamp()
    var deviceMajor: Int64 = 0
    var deviceMinor: Int64 = 0
    var attributes: [ExtendedAttribute] = []
    var digest: Digest?
    var offset: Int64 = 0
    var endOffset: Int64 = 0
    var innerOffset: Int64 = 0
    var chunkOffset: Int64 = 0
    var chunkSize: Int64 = 0
    var chunkDigest: Digest?
    var isZeros = false

    init(reading json: inout JSONReader) throws(ArchiveError) {
        try json.object { (json, key) throws(ArchiveError) in
            // Compared as text because that is the fastest switch there is: keys fit a small string.
            switch String(decoding: key, as: UTF8.self) {
            case "name": path = try json.string()
            case "type": kind = try Self.kind(json.string())
            case "linkName": linkTarget = try json.string()
            case "mode": mode = try json.integer() ?? 0
            case "uid": uid = try json.integer() ?? 0
            case "gid": gid = try json.integer() ?? 0
            case "size": size = try json.integer() ?? 0
            case "modtime": modified = try Self.time(json.string())
            case "devMajor": deviceMajor = try json.integer() ?? 0
            case "devMinor": deviceMinor = try json.integer() ?? 0
            case "xattrs": attributes = try Self.attributes(&json)
            case "digest": digest = try Self.digest(json.string())
            case "offset": offset = try json.integer() ?? 0
            case "endOffset": endOffset = try json.integer() ?? 0
            case "innerOffset": innerOffset = try json.integer() ?? 0
            case "chunkOffset": chunkOffset = try json.integer() ?? 0
            case "chunkSize": chunkSize = try json.integer() ?? 0
            case "chunkDigest": chunkDigest = try Self.digest(json.string())
            case "chunkType": isZeros = try Self.isZeros(json.string())
            default: try json.skip()
            }
        }
    }

    /// The names of types, which zTOCs share.
    static func kind(_ text: [UInt8]) throws(ArchiveError) -> Kind {
        switch String(decoding: text.prefix(16), as: UTF8.self) {
        case "dir": .entry(.directory)
        case "reg": .entry(.regular)
        case "symlink": .entry(.symlink)
        case "hardlink": .entry(.hardlink)
        case "char": .entry(.characterDevice)
        case "block": .entry(.blockDevice)
        case "fifo": .entry(.fifo)
        case "chunk": .chunk
        default: throw ArchiveError(.malformed, "the type '\(ArchiveError.printable(text))' is unknown")
        }
    }

    private static func time(_ text: [UInt8]) throws(ArchiveError) -> Timestamp {
        if text.isEmpty { return Timestamp() }
        guard let time = RFC3339.parse(text) else {
            throw ArchiveError(.malformed, "the time '\(ArchiveError.printable(text))' is not RFC 3339")
        }
        return time
    }

    private static func digest(_ text: [UInt8]) throws(ArchiveError) -> Digest? {
        if text.isEmpty { return nil }
        guard text.starts(with: "sha256:".utf8), let digest = Digest(hexBytes: text.dropFirst(7)) else {
            throw ArchiveError(.malformed, "'\(ArchiveError.printable(text))' is not a sha256 digest")
        }
        return digest
    }

    private static func isZeros(_ text: [UInt8]) throws(ArchiveError) -> Bool {
        if text.isEmpty { return false }
        guard text.elementsEqual("zeros".utf8) else {
            throw ArchiveError(.unsupported, "the chunk type '\(ArchiveError.printable(text))' is unknown")
        }
        return true
    }

    private static func attributes(_ json: inout JSONReader) throws(ArchiveError) -> [ExtendedAttribute] {
        var attributes: [ExtendedAttribute] = []
        try json.object { (json, name) throws(ArchiveError) in
            guard let value = Base64.decode(try json.string()) else {
                throw ArchiveError(.malformed, "the extended attribute '\(ArchiveError.printable(name))' is not base64")
            }
            attributes.append(ExtendedAttribute(name: name, value: value))
        }
        // Go keeps them in a map and writes them in no order of the tar's.
        return attributes.sorted { $0.name.lexicographicallyPrecedes($1.name) }
    }
}

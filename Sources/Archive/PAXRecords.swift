/// The records of one PAX extended header (POSIX.1-2001 pax, "pax Extended Header") that say something about a file.
///
/// Values are kept as bytes whatever `hdrcharset` says: the bytes are the name. An empty value takes a record back, and
/// of several records for the same thing the last one counts.
struct PAXRecords {
    var path: [UInt8]?
    var linkTarget: [UInt8]?
    var size: Int64?
    var uid: Int64?
    var gid: Int64?
    var modified: Timestamp?
    private(set) var sparse = Sparse()
    /// By name, from `SCHILY.xattr.` records.
    private var attributes = OrderedAttributes()
    /// By name, from `LIBARCHIVE.xattr.` records, which bsdtar writes beside the others.
    private var encodedAttributes = OrderedAttributes()

    /// `GNU.sparse.` records.
    struct Sparse {
        var major: [UInt8] = []
        var minor: [UInt8] = []
        var name: [UInt8] = []
        var size: Int64?
        var realSize: Int64?
        var blocks: [UInt8] = []
        /// Format 0.1: offsets and lengths in turn, joined by commas.
        var map: [UInt8] = []
        /// Format 0.0: the same as records of their own.
        var pairs: [[UInt8]] = []
    }

    init() {}

    init(parsing bytes: [UInt8]) throws(ArchiveError) {
        var position = 0
        while position < bytes.count {
            let record = try Self.record(bytes[position...])
            try take(key: record.key, value: record.value)
            position = record.end
        }
    }

    /// Records that somebody else has taken apart.
    init(_ records: some Sequence<ExtendedAttribute>) throws(ArchiveError) {
        for record in records { try take(key: record.name[...], value: record.value[...]) }
    }

    /// The records as they stand, keys ascending, of several with one key the last.
    static func list(parsing bytes: [UInt8]) throws(ArchiveError) -> [ExtendedAttribute] {
        var values: [[UInt8]: [UInt8]] = [:]
        var position = 0
        while position < bytes.count {
            let record = try Self.record(bytes[position...])
            values[Array(record.key)] = Array(record.value)
            position = record.end
        }
        return values.map { ExtendedAttribute(name: $0.key, value: $0.value) }.sorted { $0.name.lexicographicallyPrecedes($1.name) }
    }

    /// Extended attributes in order of appearance; a `SCHILY.xattr.` record wins over its `LIBARCHIVE.xattr.` twin.
    var extendedAttributes: [ExtendedAttribute] {
        var all = attributes
        for attribute in encodedAttributes.list where !all.contains(attribute.name) { all.set(attribute.name, attribute.value) }
        return all.list
    }

    /// Takes `LENGTH KEY=VALUE\n` off the front; LENGTH is decimal and counts the whole record.
    private static func record(_ bytes: ArraySlice<UInt8>) throws(ArchiveError) -> (key: ArraySlice<UInt8>, value: ArraySlice<UInt8>, end: Int) {
        let bad = ArchiveError(.malformed, "a PAX record is not of the form 'length key=value'")
        guard let space = bytes.prefix(20).firstIndex(of: UInt8(ascii: " ")),
              let length = TarNumber.decimal(bytes[..<space]), length >= 5, length <= bytes.count else { throw bad }
        let end = bytes.startIndex + Int(length)
        guard space + 1 < end - 1, bytes[end - 1] == UInt8(ascii: "\n") else { throw bad }
        let body = bytes[space + 1..<end - 1]
        guard let equals = body.firstIndex(of: UInt8(ascii: "=")), equals > body.startIndex else { throw bad }
        return (body[..<equals], body[(equals + 1)...], end)
    }

    private mutating func take(key: ArraySlice<UInt8>, value: ArraySlice<UInt8>) throws(ArchiveError) {
        let known = Key.of(key)
        switch known {
        case .path: path = try Self.text(value)
        case .linkTarget: linkTarget = try Self.text(value)
        case .size: size = try Self.integer(value, "size")
        case .uid: uid = try Self.integer(value, "uid")
        case .gid: gid = try Self.integer(value, "gid")
        case .modified:
            modified = value.isEmpty ? nil : TarNumber.time(Array(value))
            if modified == nil, !value.isEmpty { throw ArchiveError(.malformed, "the PAX record mtime is not a time") }
        case .attribute(let name):
            attributes.set(name, Array(value))
        case .encodedAttribute(let name):
            guard let decoded = Base64.decode(value) else {
                throw ArchiveError(.malformed, "the PAX record of the extended attribute '\(ArchiveError.printable(name))' is not base64")
            }
            encodedAttributes.set(name, decoded)
        case .sparse(let field):
            try takeSparse(field, value)
        case .unknown:
            guard !key.contains(0) else { throw ArchiveError(.malformed, "a PAX record has a NUL in its key") }
        }
    }

    private mutating func takeSparse(_ field: ArraySlice<UInt8>, _ value: ArraySlice<UInt8>) throws(ArchiveError) {
        switch Key.ascii(field) {
        case "major": sparse.major = Array(value)
        case "minor": sparse.minor = Array(value)
        case "name": sparse.name = Array(value)
        case "size": sparse.size = try Self.integer(value, "GNU.sparse.size")
        case "realsize": sparse.realSize = try Self.integer(value, "GNU.sparse.realsize")
        case "numblocks": sparse.blocks = Array(value)
        case "map": sparse.map = Array(value)
        case "offset", "numbytes":
            guard sparse.pairs.count.isMultiple(of: 2) == (field.count == 6) else {
                throw ArchiveError(.malformed, "GNU.sparse.offset and GNU.sparse.numbytes do not take turns")
            }
            sparse.pairs.append(Array(value))
        default: break
        }
    }

    private static func text(_ value: ArraySlice<UInt8>) throws(ArchiveError) -> [UInt8]? {
        guard !value.contains(0) else { throw ArchiveError(.malformed, "a PAX record has a NUL in a path") }
        return value.isEmpty ? nil : Array(value)
    }

    private static func integer(_ value: ArraySlice<UInt8>, _ name: StaticString) throws(ArchiveError) -> Int64? {
        guard !value.isEmpty else { return nil }
        guard let number = TarNumber.decimal(value) else { throw ArchiveError(.malformed, "the PAX record \(name) is not a number") }
        return number
    }
}

extension PAXRecords {
    private enum Key {
        case path, linkTarget, size, uid, gid, modified, unknown
        case attribute([UInt8])
        case encodedAttribute([UInt8])
        case sparse(ArraySlice<UInt8>)

        static func of(_ key: ArraySlice<UInt8>) -> Key {
            if let name = suffix(of: key, after: "SCHILY.xattr.") { return .attribute(Array(name)) }
            if let name = suffix(of: key, after: "LIBARCHIVE.xattr.") { return .encodedAttribute(PercentEncoding.decode(name)) }
            if let field = suffix(of: key, after: "GNU.sparse.") { return .sparse(field) }
            return switch ascii(key) {
            case "path": .path
            case "linkpath": .linkTarget
            case "size": .size
            case "uid": .uid
            case "gid": .gid
            case "mtime": .modified
            default: .unknown
            }
        }

        /// Keys of interest are short and ASCII; any other becomes a text that equals none of them.
        static func ascii(_ key: ArraySlice<UInt8>) -> String {
            key.count <= 15 ? String(decoding: key, as: UTF8.self) : ""
        }

        private static func suffix(of key: ArraySlice<UInt8>, after prefix: StaticString) -> ArraySlice<UInt8>? {
            let count = prefix.utf8CodeUnitCount
            guard key.count >= count, key.prefix(count).elementsEqual(UnsafeBufferPointer(start: prefix.utf8Start, count: count)) else { return nil }
            return key.dropFirst(count)
        }
    }

    /// Attributes by name in order of first appearance. A header can hold tens of thousands, hence the dictionary.
    private struct OrderedAttributes {
        private(set) var list: [ExtendedAttribute] = []
        private var positions: [[UInt8]: Int] = [:]

        func contains(_ name: [UInt8]) -> Bool { positions[name] != nil }

        mutating func set(_ name: [UInt8], _ value: [UInt8]) {
            if let position = positions[name] {
                list[position].value = value
            } else {
                positions[name] = list.count
                list.append(ExtendedAttribute(name: name, value: value))
            }
        }
    }
}

/// How much an archive or a table of contents may ask for. Input comes from strangers: everything that it sizes is
/// bounded here, and what is over a limit is an error that names the entry, never a cut-off value.
public struct ArchiveLimits: Sendable, Equatable {
    /// Bytes of a path or link target. Linux itself stops at 4096.
    public var pathLength = 4096
    /// Bytes of one path component. Linux itself stops at 255.
    public var componentLength = 255
    /// Bytes of one PAX header, GNU long name or sparse map. Go's archive/tar has the same limit.
    public var headerLength = 1 << 20
    /// Bytes of the name of an extended attribute (XATTR_NAME_MAX).
    public var attributeNameLength = 255
    /// Bytes of one extended attribute's value (XATTR_SIZE_MAX).
    public var attributeLength = 64 << 10
    /// Bytes of all names and values of extended attributes of an entry.
    public var attributesLength = 1 << 20
    /// Data runs of one sparse file.
    public var sparseRuns = 65_536
    /// Bytes that a file may claim to have.
    public var fileSize: UInt64 = 1 << 50
    /// Entries of a table of contents, chunks included.
    public var tableEntries = 2 << 20
    /// Bytes of a table of contents, compressed or not. Podman has the same limit.
    public var tableLength = 150 << 20

    public init() {}
}

extension ArchiveLimits {
    func check(size: UInt64) throws(ArchiveError) {
        guard size <= fileSize else { throw ArchiveError(.limitExceeded, "a size of \(size) bytes is over the limit of \(fileSize)") }
    }

    func check(path: [UInt8]) throws(ArchiveError) {
        guard path.count <= pathLength else {
            throw ArchiveError(.limitExceeded, "a path of \(path.count) bytes is over the limit of \(pathLength)")
        }
        guard path.count > componentLength else { return }
        var start = 0
        for end in 0...path.count where end == path.count || path[end] == UInt8(ascii: "/") {
            guard end - start <= componentLength else {
                throw ArchiveError(.limitExceeded, "a path component of \(end - start) bytes is over the limit of \(componentLength)")
            }
            start = end + 1
        }
    }

    func check(linkTarget: [UInt8]) throws(ArchiveError) {
        guard linkTarget.count <= pathLength else {
            throw ArchiveError(.limitExceeded, "a link target of \(linkTarget.count) bytes is over the limit of \(pathLength)")
        }
    }

    func check(attributes: [ExtendedAttribute]) throws(ArchiveError) {
        var total = 0
        for attribute in attributes {
            let name = attribute.name, length = attribute.value.count
            guard !name.isEmpty, name.count <= attributeNameLength, !name.contains(0) else {
                throw ArchiveError(.malformed, "the extended attribute name '\(ArchiveError.printable(name))' is not one that Linux has")
            }
            guard length <= attributeLength else {
                throw ArchiveError(.limitExceeded, "the extended attribute '\(ArchiveError.printable(name))' of \(length) bytes is over the limit of \(attributeLength)")
            }
            total += name.count + length
        }
        guard total <= attributesLength else {
            throw ArchiveError(.limitExceeded, "extended attributes of \(total) bytes are over the limit of \(attributesLength)")
        }
    }
}

extension UInt32 {
    /// An owner or device number as archives state it, in 64 bits and signed.
    init(_ value: Int64, of field: StaticString) throws(ArchiveError) {
        guard let word = UInt32(exactly: value) else { throw ArchiveError(.malformed, "\(field) \(value) does not fit 32 bits") }
        self = word
    }
}

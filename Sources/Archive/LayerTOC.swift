import OCI

/// How to get at the table of contents that a layer's maker has put into it, from what its descriptor says.
///
/// Only tables that can be verified count: without a digest in the annotations a layer is just a tar stream.
///
///     switch try LayerTOC(annotations: descriptor.annotations ?? [:], blobSize: descriptor.size) {
///     case .located(let location): // fetch location.range, then location.decode(bytes)
///     case .footer(let footer):    // fetch footer.range, then footer.locate(bytes): a location
///     case nil:                    // none
///     }
public enum LayerTOC: Sendable, Equatable {
    case located(TOCLocation)
    case footer(TOCFooter)

    /// nil where the annotations name no table, or none that could be verified. Throws where they contradict themselves.
    public init?(annotations: [String: String], blobSize: UInt64) throws(ArchiveError) {
        let json = try Self.digest(annotations[EStargz.digestAnnotation])
        for prefix in ZstdChunked.annotationPrefixes {
            guard let text = annotations[prefix + "manifest-position"] else { continue }
            let checksum = try Self.digest(annotations[prefix + "manifest-checksum"])
            guard json != nil || checksum != nil else { continue }
            let position = try ZstdChunked.Position(annotation: text)
            self = .located(try TOCLocation(position, blobSize: blobSize, compressedDigest: checksum, jsonDigest: json))
            return
        }
        guard let json else { return nil }
        self = .footer(TOCFooter(blobSize: blobSize, jsonDigest: json))
    }

    private static func digest(_ text: String?) throws(ArchiveError) -> Digest? {
        guard let text else { return nil }
        guard let digest = Digest(text) else {
            throw ArchiveError(.malformed, "'\(text.prefix(100))' is not the digest of a table of contents")
        }
        return digest
    }
}

/// The end of a blob, where a footer says the rest.
public struct TOCFooter: Sendable, Equatable {
    public let blobSize: UInt64
    /// sha256 of the uncompressed JSON.
    public let jsonDigest: Digest

    /// The bytes to fetch: enough for every known footer.
    public var range: Range<UInt64> { (blobSize - min(blobSize, 72))..<blobSize }

    /// Reads the footer from the bytes of `range`, or from any longer end of the blob.
    public func locate(_ tail: [UInt8]) throws(ArchiveError) -> TOCLocation {
        if let position = try ZstdChunked.footer(tail) {
            return try TOCLocation(position, blobSize: blobSize, compressedDigest: nil, jsonDigest: jsonDigest)
        }
        let footer = try EStargz.footer(tail)
        guard blobSize >= footer.length, footer.tocOffset < blobSize - footer.length else {
            throw ArchiveError(.malformed, "the eStargz footer points outside of the layer")
        }
        return TOCLocation(
            format: .eStargz, range: footer.tocOffset..<blobSize - footer.length, dataEnd: footer.tocOffset,
            uncompressedLength: nil, compressedDigest: nil, jsonDigest: jsonDigest
        )
    }
}

/// Where a table of contents is and what proves it.
public struct TOCLocation: Sendable, Equatable {
    public enum Format: Sendable, Equatable {
        case eStargz, zstdChunked
    }

    public let format: Format
    /// The bytes of the blob to fetch.
    public let range: Range<UInt64>
    /// Offset in the blob at which the files' data ends.
    public let dataEnd: UInt64
    let uncompressedLength: UInt64?
    let compressedDigest: Digest?
    let jsonDigest: Digest?

    /// Verifies and decodes the bytes of `range`. What does not match its digest is not looked at.
    public func decode(_ bytes: [UInt8], limits: ArchiveLimits = ArchiveLimits()) throws(ArchiveError) -> TableOfContents {
        guard UInt64(bytes.count) == range.upperBound - range.lowerBound else {
            throw ArchiveError(.truncated, subject: "table of contents", "\(bytes.count) bytes where \(range.upperBound - range.lowerBound) were asked for")
        }
        guard bytes.count <= limits.tableLength else {
            throw ArchiveError(.limitExceeded, subject: "table of contents", "\(bytes.count) bytes are over the limit of \(limits.tableLength)")
        }
        if let compressedDigest { try Self.verify(bytes, compressedDigest) }
        let json = try ArchiveError.reading {
            try bytes.withUnsafeBytes { bytes in
                switch format {
                case .eStargz: try EStargz.json(bytes, limits: limits)
                case .zstdChunked: try ZstdChunked.json(bytes, length: uncompressedLength ?? 0, limits: limits)
                }
            }
        }
        if let jsonDigest { try Self.verify(json, jsonDigest) }
        return try TableOfContents(json: json, dataEnd: dataEnd, limits: limits)
    }

    private static func verify(_ bytes: [UInt8], _ expected: Digest) throws(ArchiveError) {
        let actual = Digest(of: bytes)
        guard actual == expected else {
            throw ArchiveError(.digestMismatch, subject: "table of contents", "the digest is \(actual) where \(expected) was promised")
        }
    }
}

extension TOCLocation {
    init(_ position: ZstdChunked.Position, blobSize: UInt64, compressedDigest: Digest?, jsonDigest: Digest?) throws(ArchiveError) {
        let (end, overflow) = position.offset.addingReportingOverflow(position.length)
        guard !overflow, end <= blobSize, position.offset > ZstdChunked.frameHeaderLength, position.length > 0 else {
            throw ArchiveError(.malformed, "the zstd:chunked table of contents is stated to be outside of the layer")
        }
        self.init(
            format: .zstdChunked, range: position.offset..<end, dataEnd: position.offset - ZstdChunked.frameHeaderLength,
            uncompressedLength: position.uncompressedLength, compressedDigest: compressedDigest, jsonDigest: jsonDigest
        )
    }
}

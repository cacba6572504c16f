import Archive
import OCI
import Remote
import TreeIndex

/// The table of contents that a layer's maker has put into its blob (eStargz, zstd:chunked), as the descriptor's
/// annotations promise it.
struct LayerTable: Sendable {
    /// Names the index made from this table. It covers the layer's digest *and* the promises about the table: an image
    /// that combines another's layer with a table of its own gets an index of its own, and spoils nobody else's.
    let key: Digest
    private let toc: LayerTOC

    /// nil where the annotations promise no table that can be verified.
    init?(_ descriptor: Descriptor) {
        guard let annotations = descriptor.annotations, let toc = try? LayerTOC(annotations: annotations, blobSize: descriptor.size) else { return nil }
        self.toc = toc
        let promises = annotations.filter { name, _ in
            name == EStargz.digestAnnotation || name.hasSuffix("zstd-chunked.manifest-checksum") || name.hasSuffix("zstd-chunked.manifest-position")
        }
        let text = promises.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)\n" }.joined()
        key = Digest(of: Array("table\n\(descriptor.digest) \(descriptor.size)\n\(text)".utf8))
    }

    /// Fetches, verifies and decodes the table. A digest that does not match is asked for once more: it may be a fault
    /// of the way here.
    func read(_ layer: ImageLayer, _ supply: Supply) async throws -> (contents: TableOfContents, format: LayerFormat) {
        do {
            return try await readOnce(layer, supply)
        } catch let error as ArchiveError where error.reason != .limitExceeded && error.reason != .unsupported {
            return try await readOnce(layer, supply)
        }
    }

    private func readOnce(_ layer: ImageLayer, _ supply: Supply) async throws -> (contents: TableOfContents, format: LayerFormat) {
        let location: TOCLocation
        switch toc {
        case .located(let known): location = known
        case .footer(let footer): location = try footer.locate(try await supply.bytes(footer.range, of: layer))
        }
        let limits = ArchiveLimits()
        guard location.range.upperBound - location.range.lowerBound <= UInt64(limits.tableLength) else {
            throw ArchiveError(.limitExceeded, subject: "table of contents", "it is stated to have \(location.range.upperBound - location.range.lowerBound) bytes; at most \(limits.tableLength) are read")
        }
        let bytes = try await supply.bytes(location.range, of: layer)
        let contents = try await supply.workers.runIfActive { try location.decode(bytes, limits: limits) }
        return (contents, location.format == .eStargz ? .estargz : .zstdChunked)
    }
}

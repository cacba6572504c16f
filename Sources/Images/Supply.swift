import Archive
import LinuxIO
import Logging
import NIOCore
import NIOPosix
import OCI
import Remote
import Store
import TreeIndex

/// Where a layer's bytes come from: the store first, the blob in the store next, its registry last.
struct Supply: Sendable {
    /// The most that one span may take, in bytes. A span is about 1 MiB of content, or one chunk of a foreign tool.
    static let spanLimit: UInt64 = 128 << 20

    let store: Store
    let remote: Remote
    /// Threads for decompression and disk writes.
    let workers: NIOThreadPool
    let logger: Logger
    let descriptors = DescriptorCache()

    /// Fetches, decompresses, verifies and publishes one span of a layer with a table of contents.
    func fetchSpan(_ number: Int, of tree: LayerTree) async throws {
        let span = tree.view.span(number)
        guard span.sourceLength <= Self.spanLimit, span.length <= Self.spanLimit else {
            throw ImageError.blob(tree.layer.descriptor, "span \(number) is \(span.sourceLength) bytes in the blob and \(span.length) unpacked; at most \(Self.spanLimit) are read at once")
        }
        do {
            try await fetch(number, span, tree)
        } catch let error as ArchiveError {
            // Wrong bytes are sometimes a passing fault of the way here. A second look settles it.
            logger.warning("wrong bytes, asking again", metadata: ["blob": "\(tree.layer.descriptor.digest)", "from": "\(span.sourceOffset)", "reason": "\(error)"])
            do {
                try await fetch(number, span, tree)
            } catch let error as ArchiveError {
                throw ImageError.brokenPromise(tree.layer.descriptor, "bytes \(span.sourceOffset) to \(span.sourceOffset + span.sourceLength) are not what the table of contents promises: \(error)")
            }
        }
    }

    private func fetch(_ number: Int, _ span: ContentSpan, _ tree: LayerTree) async throws {
        let compressed = try await bytes(span.sourceOffset..<span.sourceOffset + span.sourceLength, of: tree.layer)
        try await workers.runIfActive {
            let content = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(span.length), alignment: 4096)
            defer { content.deallocate() }
            try compressed.withUnsafeBytes { try SpanContent.decode(number, of: tree, from: $0, at: span.sourceOffset, into: content) }
            try store.publishSpan(UnsafeRawBufferPointer(content), tree.contentKey, UInt32(number))
        }
    }

    /// A range of a layer's blob, not verified by itself: the caller knows the digests of its parts.
    func bytes(_ range: Range<UInt64>, of layer: ImageLayer) async throws -> [UInt8] {
        let count = Int(range.upperBound - range.lowerBound)
        if let blob = try store.openBlob(layer.descriptor.digest) {
            var bytes = [UInt8](repeating: 0, count: count)
            let read = try bytes.withUnsafeMutableBytes { try blob.read(into: $0, at: range.lowerBound) }
            return Array(bytes.prefix(read))
        }
        let source = try remote.source(for: layer.repository)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        for try await part in try await source.blob(layer.descriptor, range: range) { bytes.append(contentsOf: part.readableBytesView) }
        return bytes
    }

    /// Makes a large file one object as soon as the last of its spans is here: from then on it can be opened with
    /// passthrough. Its spans go, because the object holds the same bytes.
    func assembleObject(at number: Int, of tree: LayerTree) throws {
        guard let ordinal = tree.largeFile(at: number) else { return }
        let node = tree.view.node(ordinal)
        guard let digest = tree.objectDigest(ordinal), let content = node.contentOffset else { return }
        let spans = tree.view.spanNumbers(in: content..<content + tree.view.storedSize(of: node))
        let exclusive = tree.parts.exclusiveSpans(of: ordinal)
        guard spans.allSatisfy({ store.has(.span(tree.contentKey, UInt32($0))) }) else { return }
        let temporary = try store.temporary("object")
        var hasher = DigestHasher()
        var position: UInt64 = 0
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { block.deallocate() }
        while position < node.size {
            let part = UnsafeMutableRawBufferPointer(rebasing: block[..<Int(min(UInt64(block.count), node.size - position))])
            guard let count = try tree.read(ordinal, at: position, into: part), count > 0 else { return }
            hasher.update(UnsafeRawBufferPointer(rebasing: part[..<count]))
            try temporary.write(UnsafeRawBufferPointer(rebasing: part[..<count]))
            position += UInt64(count)
        }
        let found = hasher.finish()
        guard found == digest else {
            // Every chunk was right, so the table contradicts itself. The spans serve; the file never becomes an object.
            logger.error("the table of contents gives a file a digest that its chunks do not have", metadata: ["blob": "\(tree.layer.descriptor.digest)", "expected": "\(digest)", "found": "\(found)"])
            return
        }
        try store.publishObject(temporary, digest)
        try store.removeSpans(tree.contentKey, UInt32(exclusive.lowerBound)..<UInt32(exclusive.upperBound))
    }
}

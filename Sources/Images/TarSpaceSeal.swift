import Archive
import LinuxIO
import OCI
import Store
import TreeIndex

/// Something of the layer was not in the store after all, or is damaged there.
struct SpanGone: Error {
    let number: Int
}

/// Proves a layer whose content space is its tar from what is in the store, without its blob: the spans one after the other
/// are the tar, which must hash to the DiffID, and whose members must be what the index says.
final class TarSpaceSeal {
    private let tree: LayerTree
    private let tar: TarSpaceReader
    private let hidesBookkeeping: Bool
    private let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 64)

    /// - Parameter tail: what follows the spans in the tar (see `SOCIIndex.tail`).
    init(_ tree: LayerTree, tail: [UInt8] = []) {
        self.tree = tree
        tar = TarSpaceReader(tree, tail: tail)
        hidesBookkeeping = LayerTable(tree.layer.descriptor) != nil
    }

    deinit { block.deallocate() }

    /// - Throws: `SealError` where the index contradicts the layer, `SpanGone` where that cannot be told yet.
    func prove() throws {
        let reader = DiffIDReader(tar)
        let other: TreeIndex
        do {
            other = try readTree(TarReader(reader))
        } catch let error as ArchiveError {
            if let cause = error.underlying { throw cause }
            throw SealError(description: "its content is no layer: \(error)")
        } catch let error as TreeIndexError {
            throw SealError(description: "its content is no layer: \(error)")
        }
        let found: Digest
        do { found = try reader.finish() } catch let error as ArchiveError { throw error.underlying ?? error }
        guard found == tree.layer.diffID else {
            throw SealError(description: "its content hashes to \(found), not to the layer's DiffID \(tree.layer.diffID)")
        }
        if let difference = TreeIndex.difference(tree.index, other) { throw SealError(description: difference) }
        try comparePlaces(other.view)
    }

    /// The tree of the tar itself.
    private func readTree(_ reader: TarReader) throws -> TreeIndex {
        var objects: [UInt64: Digest] = [:]
        for file in tree.parts.largeFiles {
            if let content = tree.view.node(file).contentOffset, let digest = tree.objectDigest(file) { objects[content] = digest }
        }
        var builder = TreeBuilder()
        while let entry = try reader.next() {
            if hidesBookkeeping && TableOfContents.isHidden(entry.path) { continue }
            guard let ordinal = try builder.add(entry), entry.kind == .regular, entry.storedSize > 0 else { continue }
            try builder.setContent(ordinal, at: reader.position)
            if let digest = objects[reader.position] { try compare(reader, digest, builder.path(of: ordinal)) }
        }
        guard let identity = tree.index.identity else { throw ImageError.unusableIndex(tree.contentKey) }
        let size = tree.view.contentSize
        if size > 0 { try builder.append(ContentSpan(contentStart: 0, length: size, sourceOffset: 0, sourceLength: size)) }
        return try TreeIndex(validating: try builder.finish(identity).bytes)
    }

    private func compare(_ reader: TarReader, _ digest: Digest, _ path: [UInt8]) throws {
        var hasher = DigestHasher()
        while true {
            let count = try reader.read(into: block)
            if count == 0 { break }
            hasher.update(UnsafeRawBufferPointer(rebasing: block[..<count]))
        }
        let found = hasher.finish()
        guard found == digest else { throw SealError(description: "'\(Self.text(path))': its content hashes to \(found), not to \(digest)") }
    }

    /// Every file's bytes are where the index says. The trees are known to be the same in everything else.
    private func comparePlaces(_ other: TreeView) throws {
        let view = tree.view
        for ordinal in 0..<Ordinal(view.nodeCount) {
            let node = view.node(ordinal)
            guard node.kind == .regular, !node.isDead, !node.isHardLink else { continue }
            let path = view.path(of: ordinal)
            let twin = other.find(path).map { other.node(other.canonical($0)) }
            guard let twin, twin.contentOffset == node.contentOffset, view.runCount(of: node) == other.runCount(of: twin),
                (0..<view.runCount(of: node)).allSatisfy({ view.run(of: node, at: $0) == other.run(of: twin, at: $0) })
            else { throw SealError(description: "'\(Self.text(path))': its content is not where the index says") }
        }
    }

    private static func text(_ path: [UInt8]) -> String { String(decoding: path, as: UTF8.self) }
}

/// A layer's tar from its spans in the store, and from the large files that took the place of some. Each span is held
/// against its digest once more before anything of it is given out, so that what has been damaged is not taken for a lie.
final class TarSpaceReader: ByteReader {
    private let tree: LayerTree
    private var number = -1
    private var position: UInt64 = 0
    private var spanEnd: UInt64 = 0
    private var file: OwnedDescriptor?
    /// Where in the content space the open file begins.
    private var fileStart: UInt64 = 0
    private var isObject = false
    private let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 64)
    private let tail: MemoryReader

    init(_ tree: LayerTree, tail: [UInt8] = []) {
        self.tree = tree
        self.tail = MemoryReader(tail)
    }

    deinit { block.deallocate() }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        if position == spanEnd {
            guard number + 1 < tree.view.spanCount else { return tail.read(into: buffer) }
            try open(number + 1)
        }
        let wanted = Int(min(UInt64(buffer.count), spanEnd - position))
        let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted])
        guard let count = try file?.read(into: part, at: position - fileStart), count > 0 else { throw try damaged("it is cut short") }
        position += UInt64(count)
        if position == spanEnd { file = nil }
        return count
    }

    private func open(_ next: Int) throws {
        number = next
        spanEnd = tree.view.span(next).contentEnd
        if let span = try tree.supply.store.openSpan(tree.contentKey, UInt32(next)) {
            file = consume span
            fileStart = position
            isObject = false
            return try check()
        }
        guard let large = tree.largeFile(at: next), let object = try tree.openObject(large), let start = tree.view.node(large).contentOffset else {
            tree.markMissing(next)
            throw SpanGone(number: next)
        }
        file = consume object
        fileStart = start
        isObject = true
        try check()
    }

    /// Reads the span that has just been opened for its digest.
    private func check() throws {
        let span = tree.view.span(number)
        guard !span.flags.contains(.digestOfSource), let digest = span.digest else { return }
        var hasher = DigestHasher()
        var offset = position
        while offset < spanEnd {
            let part = UnsafeMutableRawBufferPointer(rebasing: block[..<Int(min(UInt64(block.count), spanEnd - offset))])
            guard let count = try file?.read(into: part, at: offset - fileStart), count > 0 else { throw try damaged("it is cut short") }
            hasher.update(UnsafeRawBufferPointer(rebasing: part[..<count]))
            offset += UInt64(count)
        }
        let found = hasher.finish()
        guard found == digest else { throw try damaged("its bytes hash to \(found), not to \(digest)") }
    }

    /// A span was right when it came, so its file has been damaged since, and goes. An object may never have been what the
    /// index says: it can have come from another layer.
    private func damaged(_ reason: String) throws -> any Error {
        if isObject { return SealError(description: "span \(number), a part of a large file: \(reason)") }
        let key = StoreKey.span(tree.contentKey, UInt32(number))
        tree.supply.logger.error("damaged, removed", metadata: ["file": "\(key.path)", "reason": "\(reason)"])
        try tree.supply.store.remove(key)
        tree.supply.descriptors.forget(.span(tree.contentKey, number))
        tree.markMissing(number)
        return SpanGone(number: number)
    }
}

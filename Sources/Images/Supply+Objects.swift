import LinuxIO
import Logging
import OCI
import Store
import TreeIndex

/// Large files as objects, which the kernel can read without us.
extension Supply {
    /// Makes every large file one object of which the last span has just come. Blocks.
    ///
    /// The content is here with or without the object, so that a failure is nobody's error.
    func assembleObjects(_ spans: [(number: Int, tree: LayerTree)]) {
        for (number, tree) in spans {
            guard let file = tree.largeFile(at: number), !tree.hasObject(file) else { continue }
            do {
                try assembleObject(file, of: tree)
            } catch {
                logger.warning("a large file stays in spans", metadata: ["blob": "\(tree.layer.descriptor.digest)", "reason": "\(error)"])
            }
        }
    }

    /// Makes a large file one object if all of its spans are here. Those that hold nothing else go, because the object holds
    /// the same bytes.
    private func assembleObject(_ ordinal: Ordinal, of tree: LayerTree) throws {
        let node = tree.view.node(ordinal)
        guard let digest = tree.objectDigest(ordinal), let content = node.contentOffset else { return }
        let spans = tree.view.spanNumbers(in: content..<content + tree.view.storedSize(of: node))
        guard spans.allSatisfy({ tree.hasSpan($0) }), spans.allSatisfy({ fresh.contains(tree.contentKey, $0) || store.has(.span(tree.contentKey, UInt32($0))) })
        else { return }
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
            // Every span was right, so the index contradicts itself. The spans serve; the file never becomes an object.
            logger.error("the index gives a file a digest that its spans do not have", metadata: ["blob": "\(tree.layer.descriptor.digest)", "expected": "\(digest)", "found": "\(found)"])
            return
        }
        try store.publishObject(temporary, digest)
        let exclusive = tree.parts.exclusiveSpans(of: ordinal)
        try store.removeSpans(tree.contentKey, UInt32(exclusive.lowerBound)..<UInt32(exclusive.upperBound))
    }
}

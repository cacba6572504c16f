import LinuxIO
import OCI
import TreeIndex

extension VerifyRun {
    /// A blob or a large file: its name is the digest of its content.
    func checkHashed(_ name: String, _ path: String, _ buffer: UnsafeMutableRawBufferPointer) throws(StoreError) {
        guard let digest = Digest(hex: name) else { return try note(.stray, path, expected: "64 hex digits as the name", found: "'\(name)'") }
        guard let file = try openFile(path) else { return }
        switch digests(file, [UInt64.max], buffer) {
        case .success(let read):
            count(bytes: read.size)
            if let found = read.digests.first, found != digest { try note(.damaged, path, expected: "\(digest)", found: "\(found)") }
        case .failure(let error):
            try note(.damaged, path, expected: "\(digest)", found: "\(error)")
        }
    }

    func checkTree(_ name: String, _ path: String) throws(StoreError) {
        guard name.hasSuffix(".index"), let key = Digest(hex: name.dropLast(6)) else {
            return try note(.stray, path, expected: "64 hex digits and '.index' as the name", found: "'\(name)'")
        }
        guard let file = try openFile(path) else { return }
        let map = try inStore(store.root) { () throws(SystemError) in try MappedFile(file) }
        count(bytes: UInt64(map.bytes.count))
        do throws(TreeIndexError) {
            if let contentKey = try TreeIndex(validating: map).identity?.contentKey { remember(tree: key, ofContent: contentKey) }
        } catch {
            try note(.damaged, path, expected: "a valid index", found: "\(error)")
        }
    }

    func checkSpans() throws {
        let folders = try inStore(store.root) { () throws(SystemError) in try store.root.directoryIfPresent(StoreLayout.spans)?.list() ?? [] }
        for folder in folders {
            let path = "\(StoreLayout.spans)/\(folder)"
            guard let contentKey = Digest(hex: folder) else {
                try note(.stray, path, expected: "64 hex digits as the name", found: "'\(folder)'")
                continue
            }
            guard let key = tree(ofContent: contentKey), let index = try store.openTree(key) else {
                try note(.unindexed, path, expected: "an index that describes these spans", found: "none")
                continue
            }
            try each(path) { name, path, buffer throws(StoreError) in try self.checkSpan(name, path, index, buffer) }
        }
    }

    private func checkSpan(_ name: String, _ path: String, _ index: TreeIndex, _ buffer: UnsafeMutableRawBufferPointer) throws(StoreError) {
        guard let number = StoreKey.spanNumber(name), Int(number) < index.view.spanCount else {
            return try note(.stray, path, expected: "a number below \(index.view.spanCount) as the name", found: "'\(name)'")
        }
        guard let file = try openFile(path) else { return }
        let span = index.view.span(Int(number))
        let chunks = span.chunkNumbers.map { index.view.chunk($0) }
        // Without a digest of its own a span is as true as its chunks; without those, or where the digest is that of what it
        // was decompressed from, only its length can be told.
        let digest = span.flags.contains(.digestOfSource) ? nil : span.digest
        let expected = digest.map { [$0] } ?? chunks.map(\.digest)
        switch digests(file, digest == nil && !chunks.isEmpty ? chunks.map(\.length) : [span.length], buffer) {
        case .success(let read):
            count(bytes: read.size)
            if read.size != span.length {
                try note(.damaged, path, expected: "\(span.length) bytes", found: "\(read.size)")
            } else if let bad = zip(expected, read.digests).first(where: { $0 != nil && $0 != $1 }) {
                try note(.damaged, path, expected: bad.0.map { "\($0)" } ?? "", found: "\(bad.1)")
            }
        case .failure(let error):
            try note(.damaged, path, expected: "\(span.length) bytes", found: "\(error)")
        }
    }

    func checkReferences() throws(StoreError) {
        let references: [(Reference, Descriptor)]
        do throws(StoreError) {
            references = try store.references()
        } catch {
            guard case .damaged(_, let reason) = error else { throw error }
            return try note(.damaged, StoreLayout.index, expected: "an image index", found: reason)
        }
        for (reference, descriptor) in references {
            guard let size = try store.blobSize(descriptor.digest) else {
                try note(.dangling, "\(StoreLayout.index): \(reference)", expected: "\(descriptor.digest)", found: "no such blob")
                continue
            }
            if size != descriptor.size {
                try note(.dangling, "\(StoreLayout.index): \(reference)", expected: "\(descriptor.size) bytes", found: "a blob of \(size)")
            }
        }
    }

    /// The digests of consecutive pieces of a file with these lengths, the last of which may be longer than what is there,
    /// and the size of the whole file.
    private func digests(
        _ file: borrowing OwnedDescriptor, _ lengths: [UInt64], _ buffer: UnsafeMutableRawBufferPointer
    ) -> Result<(digests: [Digest], size: UInt64), SystemError> {
        var hasher = DigestHasher()
        var digests: [Digest] = []
        var offset: UInt64 = 0
        do throws(SystemError) {
            for length in lengths {
                var left = length
                while left > 0 {
                    let wanted = Int(min(left, UInt64(buffer.count)))
                    let count = try file.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted]), at: offset)
                    hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                    offset += UInt64(count)
                    left -= UInt64(count)
                    if count < wanted { break }
                }
                digests.append(hasher.finish())
            }
            return .success((digests, max(offset, try file.size())))
        } catch {
            return .failure(error)
        }
    }
}

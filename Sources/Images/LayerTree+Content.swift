import LinuxIO
import OCI
import Store
import TreeIndex

/// Reading what is here.
extension LayerTree {
    /// Fills `buffer` from `offset` of the file `ordinal` (canonical). Returns the count, short only at the end of the
    /// file, or nil where something of it is not in the store.
    public func read(_ ordinal: Ordinal, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws -> Int? {
        let node = view.node(ordinal)
        guard node.kind == .regular, offset < node.size, buffer.count > 0 else { return 0 }
        let wanted = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(min(UInt64(buffer.count), node.size - offset))])
        if let digest = objectDigest(ordinal) {
            let count = try supply.descriptors.read(.object(digest), at: offset, into: wanted) { try supply.store.openObject(digest) }
            if let count {
                guard count == wanted.count else { throw cutShort(.object(digest), as: .object(digest)) }
                return count
            }
        }
        var done = 0
        while done < wanted.count {
            guard let run = view.content(of: node, at: offset + UInt64(done)), run.length > 0 else { return nil }
            let part = UnsafeMutableRawBufferPointer(rebasing: wanted[done..<done + Int(min(run.length, UInt64(wanted.count - done)))])
            if let content = run.contentOffset {
                guard try readContent(at: content, into: part) else { return nil }
            } else {
                part.initializeMemory(as: UInt8.self, repeating: 0)
            }
            done += part.count
        }
        return done
    }

    func readContent(at start: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws -> Bool {
        var done = 0
        while done < buffer.count {
            let position = start + UInt64(done)
            guard let number = view.spanNumber(at: position) else { throw ImageError.blob(layer.descriptor, "its index has no span for content at \(position)") }
            let span = view.span(number)
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + min(buffer.count - done, Int(span.contentEnd - position))])
            fetcher.passed(number)
            if supply.fresh.read(contentKey, number, at: position - span.contentStart, into: part) {
                done += part.count
                continue
            }
            let count = try supply.descriptors.read(.span(contentKey, number), at: position - span.contentStart, into: part) {
                try supply.store.openSpan(contentKey, UInt32(number))
            }
            guard let count else {
                // Unless it went because the whole file became an object a moment ago.
                if largeFile(at: number).map({ !hasObject($0) }) ?? true { markMissing(number) }
                return false
            }
            guard count == part.count else { throw cutShort(.span(contentKey, UInt32(number)), as: .span(contentKey, number)) }
            done += count
        }
        return true
    }

    /// A damaged file is let go of, so that a repair, which may be another process's, is seen at once.
    private func cutShort(_ key: StoreKey, as cached: DescriptorCache.Key) -> ImageError {
        supply.descriptors.forget(cached)
        return .cutShort(key)
    }
}

/// Bringing what is not.
extension LayerTree {
    /// Brings `count` bytes of the file at `offset` into the store.
    public func fetch(_ ordinal: Ordinal, at offset: UInt64, count: Int) async throws {
        let node = view.node(ordinal)
        guard offset < node.size, !hasObject(ordinal) else { return }
        var position = offset
        let end = min(node.size, offset + UInt64(count))
        var numbers: [Int] = []
        while position < end {
            // An object that has no spans, or nothing but holes.
            guard let run = view.content(of: node, at: position) else { return try await restore() }
            guard run.length > 0 else { break }
            if let content = run.contentOffset {
                for number in view.spanNumbers(in: content..<content + min(run.length, end - position)) where number != numbers.last { numbers.append(number) }
            }
            position += run.length
        }
        try await fetcher.bring(numbers, for: .demand)
    }

    /// Brings one span into the store, be it one that nobody reads.
    func fetchSpan(_ number: Int) async throws {
        try await fetcher.bring([number], for: .pull)
        await supply.fresh.settle()
    }

    /// Makes every large file one object whose spans are here but were never put together.
    func assembleObjects() async throws {
        await supply.fresh.settle()
        let numbers = parts.largeFiles.compactMap { parts.exclusiveSpans(of: $0).first }
        try await supply.workers.runIfActive { [supply] in supply.assembleObjects(numbers.map { ($0, self) }) }
    }
}

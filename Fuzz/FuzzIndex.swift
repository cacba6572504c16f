import Archive
import OCI
import TreeIndex

/// Takes the input for an index: it is refused, or can be read whole, compared, and merged between two layers.
/// Size and checksum are put right first, so that what lies behind them is looked at too.
/// - Returns: whether it was accepted.
@discardableResult
func fuzzIndex(_ input: UnsafeRawBufferPointer) -> Bool {
    let bytes = withHeaderRepaired(Array(input))
    guard let index = try? TreeIndex(validating: bytes) else { return false }
    _ = index.walkEverything()
    _ = TreeIndex.difference(index, Neighbours.below)
    if !index.isSnapshot {
        guard let adopted = try? TreeIndex(validating: index.rekeyed(contentKey: Digest(of: [7]), diffID: nil)) else {
            fatalError("a valid index that cannot be adopted")
        }
        precondition(adopted.identity?.contentKey == Digest(of: [7]) && adopted.identity?.diffID == nil, "adopted under another key")
    }
    precondition(TreeIndex.difference(index, index) == nil, "a tree that differs from itself")
    let layers = [Neighbours.below, index, Neighbours.above].map { SnapshotMerge.Layer(index: $0, treeKey: Digest(of: [1])) }
    guard let document = try? SnapshotMerge.merge(layers) else { return true }
    do {
        let snapshot = try TreeIndex(validating: document.bytes)
        _ = snapshot.walkEverything()
        precondition(snapshot.matches(layers: layers.map(\.index)), "a snapshot that does not fit its own layers")
    } catch {
        fatalError("the merge of valid layers is not valid: \(error)")
    }
    return true
}

/// `bytes` with a header that agrees with the rest.
func withHeaderRepaired(_ bytes: [UInt8]) -> [UInt8] {
    let (checksum, size, checkedFrom) = (16..<48, 48..<56, 48)
    guard bytes.count >= size.upperBound else { return bytes }
    var bytes = bytes
    withUnsafeBytes(of: UInt64(bytes.count)) { bytes.replaceSubrange(size, with: $0) }
    bytes.replaceSubrange(checksum, with: Digest(of: Array(bytes[checkedFrom...])).bytes)
    return bytes
}

/// Layers below and above the fuzzed one, with names that the corpus has too.
private enum Neighbours {
    static let below = layer([("lower", .regular, ""), ("o/gone", .regular, ""), ("d", .regular, "")])
    static let above = layer([("d/new", .regular, ""), ("n", .hardlink, "lower")])

    private static func layer(_ members: [(String, ArchiveEntry.Kind, String)]) -> TreeIndex {
        do {
            var builder = TreeBuilder()
            for (path, kind, target) in members {
                try builder.add(ArchiveEntry(path: Array(path.utf8), kind: kind, linkTarget: Array(target.utf8)))
            }
            let digest = Digest(of: [])
            let identity = LayerIdentity(contentKey: digest, blobDigest: digest, diffID: nil, format: .tar, blobSize: 0)
            return try TreeIndex(validating: builder.finish(identity).bytes)
        } catch {
            fatalError("\(error)")
        }
    }
}

extension TreeIndex {
    /// Reads everything there is to read and returns a number that depends on all of it: what a validated index must
    /// survive, whatever its bytes are.
    func walkEverything() -> UInt64 {
        var sum: UInt64 = 0
        func take(_ bytes: UnsafeRawBufferPointer) { for byte in bytes { sum = sum &* 31 &+ UInt64(byte) } }
        for ordinal in 0..<Ordinal(view.nodeCount) {
            let node = view.node(ordinal)
            take(view.name(of: node))
            take(view.linkTarget(of: node))
            sum &+= UInt64(view.path(of: ordinal).count) &+ UInt64(view.canonical(ordinal)) &+ UInt64(node.kind.typeBits)
            for attribute in view.attributes(of: node) {
                take(attribute.name)
                take(attribute.value)
                if view.attribute(of: node, named: attribute.name) == nil { sum &+= 1 }
            }
            for position in 0..<node.childCount {
                let child = view.child(of: node, at: position)
                let found = view.child(of: node, named: view.name(of: view.node(child)))
                precondition(found == child, "a listed child that lookup does not find")
            }
            guard node.kind == .regular else { continue }
            sum &+= view.storedSize(of: node)
            for offset in [0, 1, node.size / 2, node.size &- 1, node.size, .max] { take(view.content(of: node, at: offset)) }
            for position in 0..<view.runCount(of: node) { take(view.content(of: node, at: view.run(of: node, at: position).offset)) }
            if let number = node.objectNumber { sum &+= view.object(number).size }
        }
        func take(_ run: ContentRun?) {
            guard let run else { return }
            sum &+= run.length
            guard let start = run.contentOffset, run.length > 0 else { return }
            precondition(start + run.length <= view.contentSize, "content beyond the spans")
            for number in view.spanNumbers(in: start..<start + run.length) {
                sum &+= view.span(number).length
                for chunk in view.span(number).chunkNumbers { sum &+= view.chunk(chunk).innerOffset }
            }
        }
        if view.hasStarts {
            for number in 0..<view.spanCount {
                let start = view.start(number)
                precondition(start.bits < 8 && (start.kind == .block || start.windowLength == 0), "a start that cannot be")
                take(view.window(of: start))
                sum &+= UInt64((try? PackedWindow.unpack(view.window(of: start)))?.count ?? 0)
            }
        }
        for slot in 0..<view.layerCount { sum &+= UInt64(view.layer(slot).treeKey?.hex.utf8.first ?? 0) }
        return sum
    }
}

#if LARDER_FUZZER
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    fuzzIndex(UnsafeRawBufferPointer(start: start, count: count))
    return 0
}
#endif

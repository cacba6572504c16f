@testable import TreeIndex

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
        for slot in 0..<view.layerCount { sum &+= UInt64(view.layer(slot).treeKey?.hex.utf8.first ?? 0) }
        return sum
    }
}

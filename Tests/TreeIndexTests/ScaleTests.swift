import Archive
import Glibc
import Testing

@testable import TreeIndex

@Suite(.serialized) struct ScaleTests {
    /// Peak resident memory of this process in bytes.
    private func peakMemory() -> Int {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return usage.ru_maxrss * 1024
    }

    private func grow(_ count: Int) throws -> TreeBuilder {
        var builder = TreeBuilder()
        for number in 0..<count {
            let path = [UInt8]("usr/lib/part\(number % 1000)/package\(number % 40_000)/file-\(number).py")
            try builder.add(ArchiveEntry(path: path, kind: .regular))
        }
        return builder
    }

    @Test func aMillionEntriesFitInAGigabyte() throws {
        let clock = ContinuousClock()
        var bytes: [UInt8] = []
        let building = try clock.measure { bytes = try grow(1_000_000).finish(.test).bytes }
        let validating = try clock.measure { _ = try TreeIndex(validating: bytes) }
        let peak = peakMemory()
        print("1,000,000 entries: built in \(building), \(bytes.count >> 20) MiB, validated in \(validating), peak \(peak >> 20) MiB")
        #expect(peak < 1 << 30)
    }

    @Test func sixtyThousandEntriesInAllSteps() throws {
        let clock = ContinuousClock()
        let bytes = try grow(60_000).finish(.test).bytes
        var index = try TreeIndex(validating: bytes)
        let validating = try clock.measure { index = try TreeIndex(validating: bytes) }
        let layers = (0..<8).map { _ in index }
        var snapshot = index
        let merging = try clock.measure { snapshot = try TreeIndex.snapshot(of: layers) }
        var found = 0
        let looking = clock.measure {
            for ordinal in 1..<Ordinal(index.view.nodeCount) {
                let node = index.view.node(ordinal)
                if index.view.child(of: node.parent, named: index.view.name(of: node)) == ordinal { found += 1 }
            }
        }
        print("\(index.view.nodeCount) nodes: validated in \(validating), 8 layers merged in \(merging), looked up in \(looking)")
        #expect(found == index.view.nodeCount - 1)
        #expect(snapshot.view.nodeCount == index.view.nodeCount)
    }
}

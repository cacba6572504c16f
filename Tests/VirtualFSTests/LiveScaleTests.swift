import Glibc
import LinuxIO
import Synchronization
import TestSupport
import Testing
@testable import VirtualFS

/// Many files. Descriptors of the whole process are counted, so these run one after the other.
@Suite(.serialized) struct LiveScaleTests {
    /// RELEASE comes in the background: here none comes before the end.
    @Test func fiftyThousandFilesOpenAtOnceTakeNoDescriptors() throws {
        let fixture = try LiveFixture()
        let before = try fixture.openDescriptors()
        var open: [(NodeID, UInt64)] = []
        var most = 0
        for index in 0..<50_000 {
            let (entry, file) = try fixture.create("f\(index)")
            if file.complete { _ = try fixture.tree.withBacking(entry.attributes.node) { $0 } }
            open.append((entry.attributes.node, file.handle))
            if index % 5000 == 0 { most = max(most, try fixture.openDescriptors()) }
        }
        #expect(most - before < 200, "\(most) descriptors, \(before) before")
        #expect(fixture.tree.footprint / fixture.tree.knownNodes <= 160)
        for (index, (node, handle)) in open.enumerated() {
            if index % 2 == 0 { try fixture.unlink("f\(index)") }
            fixture.tree.release(node, handle: handle)
            fixture.tree.forget(node, count: 1)
        }
        #expect(fixture.tree.knownNodes == 1)
        #expect(try fixture.openDescriptors() - before < 200)
    }

    @Test func withoutPassthroughTooManyOpenFilesAreReadAllTheSame() throws {
        let fixture = try LiveFixture { $0.files = 64 }
        var open: [(NodeID, UInt64)] = []
        for index in 0..<1000 {
            let (entry, file) = try fixture.create("f\(index)")
            _ = try fixture.write(entry.attributes.node, Array("\(index)".utf8))
            open.append((entry.attributes.node, file.handle))
        }
        for (index, (node, _)) in open.enumerated() { #expect(try fixture.read(node, 100) == Array("\(index)".utf8)) }
        for (index, (node, handle)) in open.enumerated() {
            try fixture.unlink("f\(index)")
            #expect(try fixture.read(node, 100) == Array("\(index)".utf8))
            fixture.tree.release(node, handle: handle)
            fixture.tree.forget(node, count: 1)
        }
    }

    @Test func unlinkingWhileListingLosesNothingAndRepeatsNothing() throws {
        let fixture = try LiveFixture()
        let count = 20_000
        for index in 0..<count { try fixture.touch("f\(index)") }
        var seen: Set<[UInt8]> = []
        var offset: UInt64 = 0
        while true {
            let page = try fixture.list(fixture.tree.root, from: offset, limit: 100, wantsEntries: seen.count % 200 == 0)
            guard let last = page.last else { break }
            for item in page {
                #expect(seen.insert(item.name).inserted)
                #expect(unlink(fixture.path + "/" + String(decoding: item.name, as: UTF8.self)) == 0)
            }
            offset = last.next
        }
        #expect(seen.count == count)
        #expect(try fixture.list(fixture.tree.root).isEmpty)
    }

    /// Offsets go to the kernel plus two, as positive numbers.
    @Test func everyOffsetLeavesRoomForTheDots() throws {
        let fixture = try LiveFixture()
        for index in 0..<2000 { try fixture.touch("f\(index)") }
        for item in try fixture.list(fixture.tree.root) { #expect(item.next <= UInt64(Int64.max) - 2) }
        let last = try #require(try fixture.list(fixture.tree.root).last)
        #expect(try fixture.list(fixture.tree.root, from: last.next).isEmpty)
    }

    @Test func threadsThatMakeAndRemoveTheSameNamesLeaveNothingBehind() throws {
        let fixture = try LiveFixture { ($0.directories, $0.files) = (16, 16) }
        let tree = fixture.tree
        let before = try fixture.openDescriptors()
        let unexpected = Mutex<[String]>([])
        let threads = try (0..<4).map { number in
            try DedicatedThread.start("live-\(number)") {
                var random = SeededGenerator(seed: UInt64(number))
                let root = Caller(uid: 0, gid: 0, process: 1)
                for _ in 0..<3000 {
                    let names = ["a", "b", "c", "d"].map { Array($0.utf8) }
                    let name = names[Int(random.next() % 4)], other = names[Int(random.next() % 4)]
                    let kind = random.next() % 6
                    name.withUnsafeBytes { name in
                        other.withUnsafeBytes { other in
                            do throws(FSError) {
                                switch kind {
                                case 0, 1:
                                    let (entry, file) = try tree.create(tree.root, name, mode: 0o644, flags: O_RDWR | O_CREAT, for: root)
                                    let node = entry.attributes.node
                                    defer {
                                        tree.release(node, handle: file.handle)
                                        tree.forget(node, count: 1)
                                    }
                                    _ = try tree.write(node, handle: file.handle, at: 0, name, killsPrivileges: false)
                                    _ = try tree.attributes(node)
                                case 2: try tree.unlink(tree.root, name, for: root)
                                case 3: try tree.rename(tree.root, name, to: tree.root, other, flags: 0, for: root)
                                default:
                                    guard case .ready(let entry) = try tree.lookup(tree.root, name), !entry.isAbsent else { return }
                                    defer { tree.forget(entry.attributes.node, count: 1) }
                                    _ = try tree.attributes(entry.attributes.node)
                                }
                            } catch {
                                // Another thread was quicker; nothing else may go wrong.
                                if ![ENOENT, ESTALE, EEXIST].contains(error.number) { unexpected.withLock { $0.append("\(kind): \(error)") } }
                            }
                        }
                    }
                }
            }
        }
        for thread in threads { thread.join() }
        #expect(unexpected.withLock { $0 } == [])
        #expect(tree.knownNodes == 1)
        #expect(try fixture.openDescriptors() - before < 48)
    }
}

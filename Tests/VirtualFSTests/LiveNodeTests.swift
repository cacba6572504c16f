import Glibc
import LinuxIO
import TestSupport
import Testing
@testable import VirtualFS

/// What a node id is, and what becomes of it.
@Suite(.serialized) struct LiveNodeTests {
    @Test func everyCountedLookupIsTakenBackByForget() throws {
        let fixture = try LiveFixture()
        var counted: [NodeID: UInt64] = [:]
        func count(_ entry: Entry) { counted[entry.attributes.node, default: 0] += 1 }
        let directory = try fixture.makeDirectory("d")
        count(directory)
        for index in 0..<300 {
            let (entry, file) = try fixture.create("f\(index)", in: directory.attributes.node)
            count(entry)
            fixture.tree.release(entry.attributes.node, handle: file.handle)
            if index % 3 == 0 { count(try fixture.link(entry.attributes.node, to: "l\(index)", in: directory.attributes.node)) }
        }
        for limit in [1, 7, 1000] {
            var offset: UInt64 = 0
            while true {
                let page = try fixture.list(directory.attributes.node, from: offset, limit: limit, wantsEntries: true)
                for item in page { count(item.entry) }
                guard let last = page.last else { break }
                offset = last.next
            }
        }
        #expect(try fixture.lookup("nothing") == nil)
        #expect(fixture.tree.knownNodes == counted.count + 1)
        for (node, count) in counted {
            fixture.tree.forget(node, count: count - 1)
            _ = try fixture.attributes(node)
            fixture.tree.forget(node, count: 1)
            // By place, a directory is needed for as long as something in it is known.
            if node != directory.attributes.node { #expect(throws: FSError.stale) { try fixture.attributes(node) } }
        }
        #expect(throws: FSError.stale) { try fixture.attributes(directory.attributes.node) }
        #expect(fixture.tree.knownNodes == 1)
        fixture.tree.forget(fixture.tree.root, count: 99)
        _ = try fixture.attributes(fixture.tree.root)
    }

    @Test(arguments: [true, false]) func anIdIsNeverGivenTwice(usesHandles: Bool) throws {
        let fixture = try LiveFixture(usesHandles: usesHandles)
        var seen: Set<NodeID> = []
        // The disk gives the same inode number again and again.
        var inodes: Set<UInt64> = []
        for _ in 0..<500 {
            let (entry, file) = try fixture.create("f")
            #expect(seen.insert(entry.attributes.node).inserted)
            inodes.insert(entry.attributes.inode)
            #expect(try fixture.lookup("f")?.attributes.node == entry.attributes.node)
            try fixture.unlink("f")
            fixture.tree.release(entry.attributes.node, handle: file.handle)
            fixture.tree.forget(entry.attributes.node, count: 2)
            #expect(throws: FSError.stale) { try fixture.attributes(entry.attributes.node) }
        }
        #expect(inodes.count < seen.count)
    }

    @Test func twoTreesOfOneMountShareNoId() throws {
        let numbers = LiveNumbers()
        let directory = try TemporaryDirectory()
        try directory.write("f", "x")
        let trees = LiveTrees()
        let first = try LiveTree(.open(directory.path, O_RDONLY | O_DIRECTORY), gate: OpenGate(), numbers: numbers)
        let second = try LiveTree(.open(directory.path, O_RDONLY | O_DIRECTORY), gate: OpenGate(), numbers: numbers)
        trees.add(first)
        trees.add(second)
        let a = try named("f") { name throws(FSError) in ready(try first.lookup(first.root, name)).attributes.node }
        let b = try named("f") { name throws(FSError) in ready(try second.lookup(second.root, name)).attributes.node }
        #expect(Set([first.root, second.root, a, b]).count == 4)
        #expect(trees[a] === first && trees[second.root] === second && a.isLive)
        #expect(throws: FSError.stale) { try second.attributes(a) }
        #expect(throws: FSError.system(EXDEV)) {
            try named("f") { name throws(FSError) in try first.rename(first.root, name, to: second.root, name, flags: 0, for: Caller(uid: 0, gid: 0, process: 1)) }
        }
        trees.remove(first)
        #expect(trees[a] == nil && trees[b] === second)
        #expect(trees[NodeID(serial: 1, ordinal: 0)] == nil)
    }

    @Test func aTreeWithThePlaceOfAPastOneDoesNotKnowItsNodes() throws {
        let numbers = LiveNumbers()
        let directory = try TemporaryDirectory()
        var roots: [NodeID] = []
        for _ in 0..<400 {
            let tree = try LiveTree(.open(directory.path, O_RDONLY | O_DIRECTORY), gate: OpenGate(), numbers: numbers)
            if let past = roots.last {
                #expect(LiveNumbers.tree(of: past) == tree.number)
                #expect(throws: FSError.stale) { try tree.attributes(past) }
            }
            roots.append(tree.root)
        }
        #expect(Set(roots).count == roots.count)
    }

    @Test(arguments: [true, false]) func hardLinksAreOneNodeAndOutliveEachOther(usesHandles: Bool) throws {
        let fixture = try LiveFixture(usesHandles: usesHandles)
        let (entry, file) = try fixture.create("first")
        let node = entry.attributes.node
        fixture.tree.release(node, handle: file.handle)
        #expect(try fixture.link(node, to: "second").attributes.node == node)
        #expect(try fixture.lookup("second")?.attributes.node == node)
        #expect(try fixture.attributes(node).linkCount == 2)
        try fixture.unlink("second")
        #expect(try fixture.attributes(node).linkCount == 1)
        #expect(try fixture.lookup("first")?.attributes.node == node)
        try fixture.rename("first", to: "third")
        #expect(try fixture.attributes(node).linkCount == 1)
    }

    @Test(arguments: [true, false]) func aNodeStaysItselfWhenItsParentsMove(usesHandles: Bool) throws {
        let fixture = try LiveFixture(usesHandles: usesHandles)
        let outer = try fixture.makeDirectory("outer").attributes.node
        let inner = try fixture.makeDirectory("inner", in: outer).attributes.node
        let (entry, file) = try fixture.create("f", in: inner)
        fixture.tree.release(entry.attributes.node, handle: file.handle)
        let elsewhere = try fixture.makeDirectory("elsewhere").attributes.node
        try fixture.rename("inner", in: outer, to: "moved", in: elsewhere)
        // What is kept open for speed must not be what makes it right.
        fixture.tree.directories.removeAll()
        #expect(try fixture.attributes(entry.attributes.node).inode == entry.attributes.inode)
        try fixture.touch("g", in: inner)
        #expect(access(fixture.path + "/elsewhere/moved/g", F_OK) == 0)
    }

    @Test(arguments: [true, false]) func whatIsUnlinkedInUseStaysUsable(usesHandles: Bool) throws {
        let fixture = try LiveFixture(usesHandles: usesHandles)
        for replacing in [false, true] {
            for backed in [false, true] {
                let (entry, file) = try fixture.create("f")
                let node = entry.attributes.node
                _ = try fixture.write(node, Array("before".utf8))
                if backed { _ = try fixture.tree.withBacking(node) { $0 } }
                if replacing {
                    try fixture.touch("other")
                    try fixture.rename("other", to: "f")
                    try fixture.unlink("f")
                } else {
                    try fixture.unlink("f")
                }
                // Another file takes the name, and perhaps the number.
                try fixture.touch("f")
                #expect(try fixture.attributes(node).linkCount == 0)
                #expect(try fixture.write(node, Array(" after".utf8), at: 6) == 6)
                #expect(try fixture.read(node, 100) == Array("before after".utf8))
                var change = AttributeChange()
                (change.mode, change.size) = (0o600, 3)
                let after = try fixture.tree.setAttributes(node, handle: file.handle, change, for: fixture.root).attributes
                #expect(after.size == 3 && after.mode & 0o777 == 0o600)
                #expect(throws: FSError.system(ENOENT)) { try fixture.link(node, to: "again") }
                fixture.tree.release(node, handle: file.handle)
                fixture.tree.forget(node, count: 1)
                #expect(throws: FSError.stale) { try fixture.attributes(node) }
                try fixture.unlink("f")
            }
        }
    }

    @Test func aRemovedWorkingDirectoryCanStillBeLookedAt() throws {
        let fixture = try LiveFixture()
        let node = try fixture.makeDirectory("d").attributes.node
        try fixture.removeDirectory("d")
        #expect(try fixture.attributes(node).linkCount == 0)
        // getdents(2) on the disk says the same.
        #expect(throws: FSError.system(ENOENT)) { try fixture.list(node) }
        #expect(throws: FSError.system(ENOENT)) { try fixture.touch("f", in: node) }
        #expect(try fixture.lookup("f", in: node) == nil)
    }

    @Test func anUnnamedFileCanBeGivenAName() throws {
        let fixture = try LiveFixture()
        let (entry, file) = try fixture.tree.createUnnamed(fixture.tree.root, mode: 0o640, flags: O_RDWR, for: fixture.root)
        let node = entry.attributes.node
        #expect(entry.attributes.linkCount == 0 && entry.attributes.mode & 0o7777 == 0o640)
        _ = try fixture.write(node, Array("text".utf8))
        #expect(try fixture.link(node, to: "named").attributes.linkCount == 1)
        fixture.tree.release(node, handle: file.handle)
        fixture.tree.files.removeAll()
        #expect(try fixture.attributes(node).size == 4)
        let (exclusive, _) = try fixture.tree.createUnnamed(fixture.tree.root, mode: 0o640, flags: O_RDWR | O_EXCL, for: fixture.root)
        #expect(throws: FSError.system(ENOENT)) { try fixture.link(exclusive.attributes.node, to: "never") }
    }
}

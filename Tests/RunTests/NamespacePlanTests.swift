import Caches
import CLinux
import TestSupport
import Testing

@testable import Run

@Suite struct NamespacePlanTests {
    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    private func mount(_ place: String) -> NamespacePlan.Mount {
        NamespacePlan.Mount(name: place, place: bytes(place), content: .memory(size: nil), isFile: false)
    }

    @Test func mountsGoInTheOrderOfTheirPlacesAndTheLaterOfTwoCoversTheEarlier() {
        var plan = NamespacePlan(authority: .privileged, workingDirectory: bytes("/"), scratch: bytes("/tmp"))
        plan.mounts = ["/b/c", "/a-b", "/b", "/a/b", "/a"].map(mount)
        plan.mounts.append(mount("/b"))
        plan.mounts[5].name = "later"
        #expect(plan.orderedMounts.map { BytePath.text($0.place) } == ["/a", "/a-b", "/a/b", "/b", "/b", "/b/c"])
        #expect(plan.orderedMounts[4].name == "later")
    }

    @Test func aSecretIsInNoArgumentAndNoPath() throws {
        var plan = NamespacePlan(authority: .privileged, workingDirectory: bytes("/"), scratch: bytes("/tmp"))
        plan.mounts = [NamespacePlan.Mount(
            name: "secret 's'", place: bytes("/run/secrets/s"), content: .file(bytes("hunter2"), mode: 0o400, uid: 0, gid: 0), isFile: true)]
        let steps = try plan.steps().steps
        let holding = steps.filter { step in step.arguments.contains { $0 == .bytes(self.bytes("hunter2")) || $0 == .text(self.bytes("hunter2")) } }
        #expect(holding.map(\.call) == [larder_call_write])
    }

    @Test func anOrdinaryUserIsOnlyItself() throws {
        let plan = NamespacePlan(authority: .user(uid: 1000, gid: 100), workingDirectory: bytes("/"), scratch: bytes("/tmp"))
        let written = try plan.steps().steps.filter { $0.call == larder_call_write }.map { $0.arguments[1] }
        #expect(written == [.bytes(bytes("deny")), .bytes(bytes("1000 1000 1")), .bytes(bytes("100 100 1"))])
    }

    @Test func tooManyMountsAreRefusedAndNotCutOff() {
        var plan = NamespacePlan(authority: .privileged, workingDirectory: bytes("/"), scratch: bytes("/tmp"))
        plan.mounts = (0..<200).map { mount("/m/\($0)") }
        #expect(throws: RunError.self) { try plan.steps() }
    }

    @Test func aProgramIsLookedForAsAShellDoes() {
        let block = EnvironmentBlock(["PATH=/a::/b", "A=1", "A=2", "=odd", "B="].map(bytes))
        #expect(block.candidates(for: bytes("x")).map(BytePath.text) == ["/a/x", "x", "/b/x"])
        #expect(block.candidates(for: bytes("./x")).map(BytePath.text) == ["./x"])
        #expect(EnvironmentBlock().candidates(for: bytes("x")).map(BytePath.text) == ["/bin/x", "/usr/bin/x"])
        #expect(block.variables == ["PATH": "/a::/b", "A": "1", "B": ""])
        var changed = block
        changed.set("A", "3")
        #expect(changed["A"] == bytes("3") && changed.entries.count == 4)
    }

    @Test func aMountPointThatWasMadeGoesUnlessSomebodyUsesItOrPutsSomethingIn() throws {
        let directory = try TemporaryDirectory()
        let place = bytes(directory.path + "/a/b/c")
        // A child that a test beside this one is starting holds a copy of the first one's lock until its exec, and the place stays.
        for _ in 0..<1000 {
            let first = HostPlaces()
            try first.prepare(place, isFile: false, name: "x")
            #expect(HostPlaces.kind(of: place) != nil)
            let second = HostPlaces()
            try second.prepare(place, isFile: false, name: "x")
            first.removeAll()
            #expect(HostPlaces.kind(of: place) != nil, "the second still uses it")
            second.removeAll()
            if HostPlaces.kind(of: place) == nil { break }
            try directory.directory().removeTree("a")
        }
        #expect(HostPlaces.kind(of: place) == nil)

        let third = HostPlaces()
        try third.prepare(bytes(directory.path + "/d/e"), isFile: true, name: "x")
        try third.prepare(bytes(directory.path + "/f/g"), isFile: false, name: "x")
        try directory.write("f/g/kept", "x")
        third.removeAll()
        #expect(HostPlaces.kind(of: bytes(directory.path + "/d")) == nil)
        #expect(HostPlaces.kind(of: bytes(directory.path + "/f/g/kept")) != nil)
        #expect(throws: RunError.self) { try HostPlaces().prepare(bytes(directory.path + "/f/g"), isFile: true, name: "x") }
    }
}

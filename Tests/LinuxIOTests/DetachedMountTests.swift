import Glibc
import Testing

@testable import LinuxIO

/// Mounting is for root; CI runs as root.
@Suite(.enabled(if: geteuid() == 0 || getenv("CI") != nil, "only root may mount"))
struct DetachedMountTests {
    let scratch: ScratchDirectory
    var shown: String { scratch.path + "/shown" }

    init() throws {
        scratch = try ScratchDirectory()
        try scratch.directory.makeDirectories("real")
        try scratch.directory.makeDirectories("shown")
    }

    private func attach(_ dress: (borrowing DetachedMount) throws -> Void) throws -> Int {
        let mount = try DetachedMount(of: try scratch.directory.directory("real"))
        try dress(mount)
        let id = mount.id
        try mount.attach(at: shown)
        return id
    }

    private func unmount() { umount2(shown, Int32(MNT_DETACH)) }

    @Test func aMountIsInTheTableOnceItIsAttached() throws {
        let table = try MountTable()
        let id = try attach { mount in
            let isThere = try MountTable().all().contains { [id = mount.id] in $0.id == id }
            #expect(!isThere)
        }
        defer { unmount() }
        let hasCome = table.waitForChange()
        #expect(hasCome)
        let found = try table.all().first { $0.id == id }
        let entry = try #require(found)
        #expect(entry.path == shown && entry.root.hasSuffix("/real"))
        unmount()
        let hasGone = table.waitForChange()
        #expect(hasGone)
        let isThere = try table.all().contains { $0.id == id && $0.path == shown }
        #expect(!isThere)
    }

    @Test func attributesAreThereFromTheBeginning() throws {
        _ = try attach { try $0.set([.readOnly, .noExecution]) }
        defer { unmount() }
        #expect(throws: SystemError.self) { _ = try Directory(shown).open("file", O_WRONLY | O_CREAT) }
        try scratch.write("real/file", "still writable")
    }

    @Test func ownersChangePlaces() throws {
        try scratch.write("real/ours", "")
        try scratch.write("real/other", "")
        chown(scratch.path + "/real/other", 4242, 4343)
        let view = try OwnerView(uid: 0, gid: 0, as: 1000, 2000)
        _ = try attach { try $0.show(view) }
        defer { unmount() }
        let there = try Directory(shown)
        let ours = try there.status("ours")
        #expect(ours.st_uid == 1000 && ours.st_gid == 2000)
        let other = try there.status("other")
        #expect(other.st_uid == 4242 && other.st_gid == 4343)
        // And what root makes there is stored as the other's.
        _ = try there.open("made", O_WRONLY | O_CREAT)
        let made = try scratch.directory.status("real/made")
        #expect(made.st_uid == 1000 && made.st_gid == 2000)
    }

    /// (first, second, ranges, lines)
    @Test(arguments: [
        (5, 5, [0..<100], "0 0 100\n"),
        (0, 1000, [0..<4_294_967_295], "0 1000 1\n1 1 999\n1000 0 1\n1001 1001 4294966294\n"),
        (1000, 0, [0..<4_294_967_295], "0 1000 1\n1 1 999\n1000 0 1\n1001 1001 4294966294\n"),
        (0, 1, [0..<2], "0 1 1\n1 0 1\n"),
        (3, 7, [0..<5], "0 0 3\n3 7 1\n4 4 1\n"),
        (3, 7, [0..<4, 6..<8], "0 0 3\n3 7 1\n6 6 1\n7 3 1\n"),
    ] as [(UInt32, UInt32, [Range<UInt64>], String)])
    func mapsNameEveryKnownIDOnce(_ first: UInt32, _ second: UInt32, _ ranges: [Range<UInt64>], _ lines: String) {
        #expect(OwnerView.exchanging(first, second, in: ranges) == lines)
    }

    @Test func aLineOfTheTableIsTakenApart() throws {
        let line = #"36 35 98:0 /mnt1/a\040b /mnt2/c\134d rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue"#
        let info = try #require(MountInfo(line[...]))
        #expect(info.id == 36 && info.device == "98:0" && info.root == "/mnt1/a b" && info.path == #"/mnt2/c\d"# && info.type == "ext3")
        for bad in ["", "36 35 98:0 / /x rw -", "x 35 98:0 / / rw - ext3 /dev/root rw", "36 35 98:0 / / rw ext3 /dev/root rw"] { #expect(MountInfo(bad[...]) == nil) }
    }
}

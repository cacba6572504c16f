import Glibc
import Testing
@testable import Archive

/// What we see in an archive is what Python's tarfile sees in it, whoever wrote it.
@Suite struct TarDifferentialTests {
    @Test(arguments: ["USTAR", "GNU", "PAX"])
    func archivesOfPythonReadTheSame(format: String) throws {
        var generator = SeededGenerator("archivesOfPythonReadTheSame \(format)")
        let scratch = try Scratch()
        for _ in 0..<12 {
            let seed = UInt32.random(in: 0...UInt32.max, using: &generator)
            try scratch.run("python3 '\(fixture("make-tar.py"))' a.tar \(format) \(seed)")
            let expected = try scratch.pythonListing("a.tar")
            let reader = TarReader(DribblingReader(try scratch.read("a.tar"), seed: UInt64(seed)))
            #expect(try reader.readMembers().map(\.line) == expected, "format \(format), archive seed \(seed)")
        }
    }

    @Test(arguments: ["v7", "oldgnu", "gnu", "ustar", "posix"])
    func archivesOfGNUTarReadTheSame(format: String) throws {
        let scratch = try Scratch()
        try scratch.run(Self.tree)
        // v7 and ustar cannot hold everything, which tar reports and leaves out.
        try scratch.run("tar --format=\(format) -C tree -cf a.tar . 2>/dev/null || true")
        let seen = try members(of: scratch.read("a.tar")).map(\.line)
        #expect(try seen == scratch.pythonListing("a.tar"))
        #expect(seen.count >= (format == "v7" ? 10 : 14))
    }

    @Test(arguments: ["--format=oldgnu", "--format=gnu", "--format=posix --sparse-version=0.0", "--format=posix --sparse-version=0.1", "--format=posix --sparse-version=1.0"])
    func sparseFilesReadTheSameInEveryNotation(options: String) throws {
        let scratch = try Scratch()
        try scratch.run(
            """
            mkdir tree; cd tree; truncate -s 1M allhole; printf end > tail; truncate -s 300K tail; printf x >> tail; : > empty
            python3 -c "
            f = open('many', 'wb')
            for i in range(60):
                f.seek(i * 70000); f.write(bytes([i + 1]) * (i * 37 + 1))
            f.truncate(60 * 70000)"
            cp many \(String(repeating: "n", count: 150))
            """
        )
        try scratch.run("tar --sparse --hole-detection=raw \(options) -C tree -cf a.tar .")
        let seen = try members(of: scratch.read("a.tar"))
        #expect(try seen.map(\.line) == scratch.pythonListing("a.tar"))
        #expect(seen.filter { $0.entry.extents != nil }.count == 4)
        #expect(seen.contains { ($0.entry.extents?.count ?? 0) == 60 })
    }

    @Test func extendedAttributesOfGNUTarReadTheSame() throws {
        let scratch = try Scratch()
        try scratch.run("mkdir tree; echo a > tree/a; python3 -c \"import os; os.setxattr('tree/a', 'user.bin', bytes(range(256)))\"")
        try scratch.run("tar --format=posix --xattrs -C tree -cf a.tar .")
        let seen = try members(of: scratch.read("a.tar"))
        #expect(try seen.map(\.line) == scratch.pythonListing("a.tar"))
        #expect(seen.contains { $0.entry.attributes == [ExtendedAttribute(name: Array("user.bin".utf8), value: Array(0...255))] })
    }

    @Test(arguments: ["gzip -n", "gzip -1", "zstd -q", "zstd -q --ultra -22", "split"])
    func compressedArchivesReadLikePlainOnes(tool: String) throws {
        let scratch = try Scratch()
        try scratch.run("seq 200000 > numbers; tar -cf a.tar numbers")
        if tool == "split" {
            // As pigz -i and eStargz: members that end anywhere.
            try scratch.run("split -b 100001 a.tar part. && for part in part.*; do gzip -c $part; done > a.out; head -c 700 /dev/zero >> a.out")
        } else {
            try scratch.run("\(tool) -c a.tar > a.out")
        }
        let plain = try members(of: scratch.read("a.tar"))
        let layer = try LayerReader(DribblingReader(scratch.read("a.out"), seed: 1))
        #expect(layer.compression == (tool.hasPrefix("zstd") ? .zstd : .gzip))
        let tar = TarReader(layer)
        #expect(try tar.readMembers() == plain)
        _ = try tar.drain()
    }

    /// Long names, links, Latin-1 and odd names; devices too where we may make them.
    static let tree = """
        mkdir tree; cd tree; echo one > file; ln file hard; ln -s file soft; mkfifo fifo; mkdir dir; : > dir/empty
        printf x > "$(printf 'caf\\351')"; printf y > 'new
        line'; ln -s \(String(repeating: "t/", count: 120)) longlink; touch -d @-77.5 old; touch -d @1700000000.123456789 exact
        deep=\(String(repeating: "d", count: 60))/\(String(repeating: "e", count: 60)); mkdir -p $deep; printf z > $deep/f
        printf w > \(String(repeating: "w", count: 200)); ln \(String(repeating: "w", count: 200)) \(String(repeating: "v", count: 201))
        chmod 6711 file; if [ $(id -u) = 0 ]; then mknod null c 1 3; mknod disk b 259 70000; chown 3000000:70000 exact; fi
        """
}

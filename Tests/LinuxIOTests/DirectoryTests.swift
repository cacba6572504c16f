import Glibc
import LinuxIO
import Testing

@Suite struct DirectoryTests {
    let scratch: ScratchDirectory
    var directory: Directory { scratch.directory }

    init() throws { scratch = try ScratchDirectory() }

    @Test func missingParentsAreMade() throws {
        try directory.makeDirectories("a/b/c/d")
        try directory.makeDirectories("a/b/c/d")
        #expect(try directory.status("a/b/c/d").st_mode & S_IFMT == S_IFDIR)
    }

    @Test func absenceIsAnAnswerAndNotAnError() throws {
        #expect(try directory.openIfPresent("none") == nil)
        #expect(try directory.openIfPresent("none/at/all") == nil)
        #expect(try directory.directoryIfPresent("none") == nil)
        #expect(try directory.statusIfPresent("none/at/all") == nil)
        #expect(try !directory.remove("none"))
        #expect(try !directory.remove("none/at/all"))
        #expect(try !directory.removeTree("none"))
        #expect(!directory.exists("none"))
    }

    @Test func plantedSymlinksDoNotLeadOutside() throws {
        let outside = try ScratchDirectory()
        try outside.write("secret", "untouched")
        #expect(symlink(outside.path, scratch.path + "/away") == 0)
        #expect(symlink(outside.path + "/secret", scratch.path + "/file") == 0)
        try scratch.write("mine", "x")

        for name in ["away/secret", "file", "../\(outside.path)/secret", outside.path + "/secret"] {
            #expect(throws: SystemError.self) { _ = try directory.open(name, O_RDONLY).raw }
        }
        #expect(throws: SystemError.self) { try directory.makeDirectories("away/made") }
        #expect(throws: SystemError.self) { try directory.remove("away/secret") }
        #expect(throws: SystemError.self) { try directory.rename("mine", to: "away/mine") }
        #expect(throws: SystemError.self) { try directory.link("mine", to: "away/mine") }
        #expect(throws: SystemError.self) { try directory.publish("mine", as: "away/mine") }
        #expect(throws: SystemError.self) { try directory.status("away/secret") }
        #expect(throws: SystemError.self) { try directory.status("..") }
        #expect(throws: SystemError.self) { try directory.makeDirectories("x/../../made") }
        #expect(try outside.directory.list() == ["secret"])

        // The links themselves can be removed, and only they are.
        #expect(try directory.removeTree("away"))
        #expect(try outside.text("secret") == "untouched")
    }

    @Test func removeTreeTakesNamesOfAnyBytes() throws {
        try directory.makeDirectories("tree/deep/deeper")
        let odd: [UInt8] = Array(scratch.path.utf8) + Array("/tree/deep/".utf8) + [0xff, 0xfe, 0x0a, 0x20, 0]
        let raw = odd.withUnsafeBufferPointer { buffer in
            buffer.withMemoryRebound(to: CChar.self) { open($0.baseAddress!, O_WRONLY | O_CREAT, 0o600) }
        }
        try #require(raw >= 0)
        close(raw)
        #expect(try directory.directory("tree/deep").entries().map(\.name).contains([0xff, 0xfe, 0x0a, 0x20]))
        #expect(try directory.removeTree("tree"))
        #expect(try directory.list() == [])
    }

    @Test func entriesTellTheirKind() throws {
        try scratch.write("file", "")
        try directory.makeDirectories("folder")
        let types = Dictionary(uniqueKeysWithValues: try directory.entries().map { ($0.text, Int($0.type)) })
        #expect(types == ["file": Int(DT_REG), "folder": Int(DT_DIR)])
    }

    @Test func errorsNameTheFile() throws {
        let error = try #require(throws: SystemError.self) { _ = try directory.open("nope", O_RDONLY).raw }
        #expect(error.description == "open \(scratch.path)/nope: No such file or directory")
        #expect(error.isAbsence)
    }
}

import CLinux
import Glibc

/// What a root directory needs beside its files: processes, devices, the kernel's settings, and the names of hosts.
enum RootFurniture {
    struct Piece {
        var place: [UInt8]
        var slot: Slot
        var isFile = false
        /// Something of the image's that is no plain file (a link that leads nowhere) is replaced.
        var replaces = false
    }

    private static let devices = ["null", "zero", "full", "random", "urandom", "tty"]

    /// Takes from the host what belongs to it, before its root is left.
    static func open(_ build: inout NamespacePlan.Build) throws(RunError) -> [Piece] {
        var pieces: [Piece] = []
        func piece(_ place: String, isFile: Bool = false, replaces: Bool = false, _ attributes: Int) throws(RunError) {
            build.program.purpose = "cannot use \(place) of the host"
            let slot = try build.program.slot()
            build.program.clone(Array(place.utf8), into: slot)
            build.program.setAttributes(slot, attributes)
            pieces.append(Piece(place: Array(place.utf8), slot: slot, isFile: isFile, replaces: replaces))
        }
        let harmless = larder_attr_nosuid | larder_attr_nodev | larder_attr_noexec
        try piece("/proc", harmless)
        if access("/sys", F_OK) == 0 { try piece("/sys", harmless | larder_attr_readonly) }
        build.program.purpose = "cannot make /dev"
        let dev = try build.program.slot()
        build.program.makeMount("tmpfs", [("mode", "0755"), ("size", "65536k")], attributes: larder_attr_nosuid | larder_attr_noexec, using: build.temporary, into: dev)
        pieces.append(Piece(place: Array("/dev".utf8), slot: dev))
        for name in devices where access("/dev/\(name)", F_OK) == 0 { try piece("/dev/\(name)", isFile: true, larder_attr_noexec) }
        build.program.purpose = "cannot make /dev/pts"
        let terminals = try build.program.slot()
        build.program.makeMount("devpts", [("newinstance", nil), ("ptmxmode", "0666"), ("mode", "0620")], attributes: larder_attr_nosuid | larder_attr_noexec, using: build.temporary, into: terminals)
        pieces.append(Piece(place: Array("/dev/pts".utf8), slot: terminals))
        build.program.purpose = "cannot make /dev/shm"
        let shared = try build.program.slot()
        build.program.makeMount("tmpfs", [("mode", "1777")], attributes: harmless, using: build.temporary, into: shared)
        pieces.append(Piece(place: Array("/dev/shm".utf8), slot: shared))
        for name in ["/etc/resolv.conf", "/etc/hosts"] where access(name, R_OK) == 0 {
            guard let path = realpath(name, nil) else { continue }
            defer { free(path) }
            build.program.purpose = "cannot use \(name) of the host"
            let slot = try build.program.slot()
            build.program.clone(Array(String(cString: path).utf8), into: slot)
            build.program.setAttributes(slot, harmless | larder_attr_readonly)
            pieces.append(Piece(place: Array(name.utf8), slot: slot, isFile: true, replaces: true))
        }
        return pieces
    }

    static func attach(_ pieces: [Piece], _ build: inout NamespacePlan.Build) {
        for piece in pieces {
            build.program.purpose = "cannot mount \(BytePath.text(piece.place)) in the root"
            for directory in BytePath.ancestors(piece.place) { build.program.makeDirectory(directory, mayExist: true) }
            // Names of hosts are a convenience: a user who may not change the image's /etc goes without.
            if piece.replaces { build.program.add(larder_call_unlink, StepProgram.here, .text(piece.place), .number(0), accepting: [ENOENT, EACCES]) }
            if piece.isFile {
                build.program.makeFile(piece.place, mayExist: true, accepting: piece.replaces ? [EACCES] : [])
            } else {
                build.program.makeDirectory(piece.place, mayExist: true)
            }
            build.program.attach(piece.slot, at: piece.place, accepting: piece.replaces ? [ENOENT] : [])
        }
        build.program.purpose = "cannot make links in /dev"
        for (name, target) in [("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx")] {
            build.program.symlink(Array(target.utf8), at: Array("/dev/\(name)".utf8))
        }
    }
}

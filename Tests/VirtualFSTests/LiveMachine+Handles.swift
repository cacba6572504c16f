import CLinux
import Glibc
import LinuxIO
@testable import VirtualFS

// Open files, also after their names have gone.
extension LiveMachine {
    func openFile() -> Bool {
        let path = path(), slot = one(Self.handleCount)
        let flags = pick([O_RDWR, O_RDWR | O_CREAT, O_RDWR | O_CREAT | O_EXCL, O_RDWR | O_TRUNC, O_RDWR | O_CREAT | O_TRUNC, O_RDONLY]), mode = pick([0o644, 0o444, 0o600] as [UInt32])
        close(slot)
        let opened = Outcome { () throws(FSError) in
            let (node, handle) = try live.open(path, flags: flags, mode: flags & O_CREAT != 0 ? mode : nil)
            live.handles[slot] = (node, handle)
            // As a connection with passthrough does after half of all opens.
            if path.count % 2 == 0 { _ = try live.fixture.tree.withBacking(node) { $0 } }
            return shown(try live.fixture.attributes(node))
        }
        var outcome = plain.run(path) { path in
            var status = stat()
            // A fifo would wait, a device act: the kernel opens those without the filesystem.
            if lstat(path, &status) == 0, ![S_IFREG, S_IFDIR, S_IFLNK].contains(status.st_mode & S_IFMT), flags & O_EXCL == 0 {
                errno = ENXIO
                return -1
            }
            let raw = open(path, flags | O_NOFOLLOW | O_CLOEXEC, mode)
            if raw < 0 { return -1 }
            if fstat(raw, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
                Glibc.close(raw)
                errno = EISDIR
                return -1
            }
            plain.handles[slot] = raw
            return 0
        }
        if outcome.code == 0 { outcome = plain.look(path) }
        return compare("open", "\(path) \(String(flags, radix: 8))", opened, outcome)
    }

    func openUnnamed() -> Bool {
        let path = path(), slot = one(Self.handleCount)
        close(slot)
        return compare("tmpfile", "\(path)", Outcome { () throws(FSError) in
            let node = try live.require(path)
            guard node.mode & S_IFMT == S_IFDIR else { throw .notDirectory }
            let (entry, file) = try live.fixture.tree.createUnnamed(node.node, mode: 0o640, flags: O_RDWR, for: live.fixture.root)
            live.handles[slot] = (live.keep(entry).attributes.node, file.handle)
            return ""
        }, plain.run(path) { path in
            var status = stat()
            guard lstat(path, &status) == 0 else { return -1 }
            guard status.st_mode & S_IFMT == S_IFDIR else { errno = ENOTDIR; return -1 }
            let raw = open(path, O_RDWR | larder_o_tmpfile | O_CLOEXEC, 0o640)
            if raw >= 0 { plain.handles[slot] = raw }
            return Int(raw)
        })
    }

    func close(_ slot: Int) {
        if let raw = plain.handles[slot] { Glibc.close(raw) }
        if let open = live.handles[slot] { live.fixture.tree.release(open.node, handle: open.handle) }
        plain.handles[slot] = nil
        live.handles[slot] = nil
    }

    func closeAll() { for slot in 0..<Self.handleCount { close(slot) } }

    func useHandle() -> Bool {
        let slot = one(Self.handleCount)
        guard let raw = plain.handles[slot], let (node, handle) = live.handles[slot] else { return openFile() }
        // A descriptor for reading refuses to write, and that the kernel above a filesystem knows.
        let writes = fcntl(raw, F_GETFL) & O_ACCMODE != O_RDONLY
        let tree = live.fixture.tree
        let offset = UInt64(pick([0, 1, 5000, 70_000])), bytes = random.bytes(pick([0, 1, 4096, 9000]))
        func look(_ outcome: Outcome) -> Outcome {
            var object = larder_object()
            _ = larder_look(raw, "", &object)
            return outcome.code == 0 ? Outcome(result: 0) { shown(object) } : outcome
        }
        func change(_ kind: String, _ body: (inout AttributeChange) -> Void, _ call: () -> Int32) -> Bool {
            var change = AttributeChange()
            body(&change)
            return compare(kind, "#\(slot)", Outcome { () throws(FSError) in
                shown(try tree.setAttributes(node, handle: handle, change, for: live.fixture.root).attributes)
            }, look(Outcome(result: Int(call()))))
        }
        switch one(writes ? 11 : 4) {
        case 2 where !allocated.contains(inode(raw)):
            let whence = pick([SEEK_DATA_, SEEK_HOLE_])
            let found = larder_seek(raw, Int64(offset), whence)
            errno = found < 0 ? Int32(-found) : 0
            return compare("lseek", "#\(slot)", Outcome { () throws(FSError) in "\(try tree.seek(node, handle: handle, from: offset, whence: whence))" }, Outcome(result: found < 0 ? -1 : 0) { "\(found)" })
        case 0, 2:
            return compare("fstat", "#\(slot)", Outcome { () throws(FSError) in shown(try live.fixture.attributes(node)) }, look(Outcome(result: 0)))
        case 1:
            var expected = [UInt8](repeating: 0, count: 6000)
            let count = pread(raw, &expected, 6000, off_t(offset))
            return compare("pread", "#\(slot)", Outcome { () throws(FSError) in "\(try live.fixture.read(node, 6000, at: offset).hashValue)" }, Outcome(result: count) { "\(Array(expected.prefix(count)).hashValue)" })
        case 3:
            let path = path()
            return compare("linkat", "#\(slot) \(path)", Outcome { () throws(FSError) in
                let parent = try live.parent(path)
                return shown(live.keep(try live.fixture.link(node, to: path[path.count - 1], in: parent)).attributes)
            }, look(plain.run(path) { errno = -larder_link_object(raw, -100, $0); return errno == 0 ? 0 : -1 }))
        case 4, 5:
            return compare("pwrite", "#\(slot)", Outcome { () throws(FSError) in "\(try live.fixture.write(node, bytes, at: offset))" }, {
                let count = pwrite(raw, bytes, bytes.count, off_t(offset))
                return Outcome(result: count) { "\(count)" }
            }())
        case 6: return change("ftruncate", { $0.size = offset }) { ftruncate(raw, off_t(offset)) }
        case 7: return change("fchmod", { $0.mode = 0o640 }) { fchmod(raw, 0o640) }
        case 8: return change("fchown", { $0.uid = 1000 }) { fchown(raw, 1000, .max) }
        case 9:
            let mode = pick([0, 1, 3, 16, 0x40] as [Int32])
            allocated.insert(inode(raw))
            return compare("fallocate", "#\(slot) \(mode)", Outcome { () throws(FSError) in
                try tree.allocate(node, handle: handle, mode: mode, offset: offset, length: UInt64(bytes.count))
                return ""
            }, Outcome(result: { errno = -larder_allocate(raw, mode, Int64(offset), Int64(bytes.count)); return errno == 0 ? 0 : -1 }()))
        default: return copyOrSynchronize(slot, offset)
        }
    }

    private func inode(_ raw: Int32) -> UInt64 {
        var status = stat()
        return fstat(raw, &status) == 0 ? UInt64(status.st_ino) : 0
    }

    private func copyOrSynchronize(_ slot: Int, _ offset: UInt64) -> Bool {
        let other = one(Self.handleCount)
        guard let raw = plain.handles[slot], let (node, handle) = live.handles[slot] else { return true }
        guard let source = plain.handles[other], let from = live.handles[other] else {
            return compare("fsync", "#\(slot)", Outcome { () throws(FSError) in
                try live.fixture.tree.synchronize(node, handle: handle, dataOnly: true)
                return ""
            }, Outcome(result: Int(fdatasync(raw))))
        }
        let count = larder_copy_range(source, 0, raw, Int64(offset), 5000, 0)
        errno = count < 0 ? Int32(-count) : 0
        return compare("copy_file_range", "#\(other) #\(slot)", Outcome { () throws(FSError) in
            "\(try live.fixture.tree.copyRange(from: from.node, handle: from.handle, at: 0, to: node, handle: handle, at: offset, length: 5000, flags: 0))"
        }, Outcome(result: count < 0 ? -1 : 0) { "\(count)" })
    }

    private var SEEK_DATA_: Int32 { 3 }
    private var SEEK_HOLE_: Int32 { 4 }
}

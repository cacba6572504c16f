import CPosixMachine
import Glibc

extension Worker {
    mutating func files(_ operation: Operation) -> Answer {
        let fd = handle(operation.handle)
        switch operation.kind {
        case .open: return open(operation, Int32(operation.a))
        case .openUnnamed: return open(operation, Int32(operation.a) | 0o20200000 /* O_TMPFILE */)
        case .linkHandle:
            return .result(Self.withPath(operation.otherPath) { linkat(fd, "", base(operation.otherBase), $0, Worker.itself) })
        case .close:
            guard handles[operation.handle] >= 0 else { return Answer("empty") }
            let answer = Answer.result(Glibc.close(fd))
            handles[operation.handle] = -1
            return answer
        case .dup:
            let copy = Glibc.dup(fd)
            guard copy >= 0 else { return .failure() }
            put(copy, operation.other)
            return Answer("ok")
        case .read, .pread, .readv:
            return reading(operation, fd)
        case .write, .pwrite, .writev:
            return writing(operation, fd)
        case .seek:
            guard !isDirectory(fd) else { return Answer("directory") }
            return .result(lseek(fd, off_t(operation.a), [SEEK_SET, SEEK_CUR, SEEK_END][Int(operation.b)]))
        case .seekHole: return seekHole(operation, fd)
        case .getFlags:
            // O_LARGEFILE and O_NOATIME are the program's own and the same for both.
            return .result(fcntl(fd, F_GETFL))
        default:
            let flags = fcntl(fd, F_GETFL)
            guard flags >= 0 else { return .failure() }
            return .result(pm_set_flags(fd, operation.a == 1 ? flags | O_APPEND : flags & ~O_APPEND))
        }
    }

    /// What was allocated and not written is a hole to ext4 unless pages of it happen to be cached, so what is compared is
    /// whether the answer is true: a hole reads as zeros, and between here and the next data there are only zeros.
    private func seekHole(_ operation: Operation, _ fd: Int32) -> Answer {
        guard !isDirectory(fd) else { return Answer("directory") }
        let wantsData = operation.b == 0
        let place = lseek(fd, off_t(operation.a), wantsData ? 3 /* SEEK_DATA */ : 4 /* SEEK_HOLE */)
        let code = errno
        lseek(fd, 0, SEEK_SET)
        let size = off_t(size(fd))
        guard place >= 0 || (code == ENXIO && off_t(operation.a) < size) else { return Answer(Answer.errorName(code)) }
        let end = place < 0 ? size : place
        guard end >= off_t(operation.a), end <= size, wantsData || place >= 0 else { return Answer("\(place) of \(size)") }
        let zeros = wantsData ? off_t(operation.a)..<end : end..<min(end + 1, size)
        var bytes = [UInt8](repeating: 0, count: Int(zeros.count))
        // A file that is open for writing only cannot be checked.
        let count = Glibc.pread(fd, &bytes, bytes.count, zeros.lowerBound)
        return Answer(count > 0 && bytes.prefix(count).contains { $0 != 0 } ? "not zeros in \(zeros)" : "true")
    }

    private mutating func open(_ operation: Operation, _ flags: Int32) -> Answer {
        let fd = Self.withPath(operation.path) { pm_open(base(operation.base), $0, flags | O_CLOEXEC | O_NONBLOCK, mode_t(operation.b)) }
        guard fd >= 0 else { return .failure() }
        put(fd, operation.handle)
        var status = pm_status()
        guard pm_stat(fd, "", Worker.itself, &status) == 0 else { return .failure() }
        var answer = Answer("ok")
        answer.add(status)
        return answer
    }

    mutating func put(_ fd: Int32, _ place: Int) {
        if handles[place] >= 0 { Glibc.close(handles[place]) }
        handles[place] = fd
    }

    /// The offset of a directory is the filesystem's own affair.
    func isDirectory(_ fd: Int32) -> Bool {
        var status = pm_status()
        return pm_stat(fd, "", Worker.itself, &status) == 0 && status.mode & UInt32(S_IFMT) == UInt32(S_IFDIR)
    }

    private func reading(_ operation: Operation, _ fd: Int32) -> Answer {
        let length = Int(operation.b)
        var buffer = [UInt8](repeating: 0, count: length)
        let count = buffer.withUnsafeMutableBytes { space in
            switch operation.kind {
            case .read: return Glibc.read(fd, space.baseAddress, length)
            case .pread: return Glibc.pread(fd, space.baseAddress, length, off_t(operation.a))
            default:
                let middle = length / 3
                let vectors = [
                    iovec(iov_base: space.baseAddress, iov_len: middle),
                    iovec(iov_base: space.baseAddress.map { $0 + middle }, iov_len: length - middle),
                ]
                return Glibc.readv(fd, vectors, 2)
            }
        }
        return count < 0 ? .failure() : Answer(Self.digest(buffer.prefix(count)))
    }

    private func writing(_ operation: Operation, _ fd: Int32) -> Answer {
        // A file whose offset was moved or that was appended to often must not grow without end.
        var status = pm_status()
        if pm_stat(fd, "", Worker.itself, &status) == 0, Int64(status.size) > Generator.sizeLimit || lseek(fd, 0, SEEK_CUR) > Generator.sizeLimit {
            return .result(ftruncate(fd, 100) == 0 ? lseek(fd, 0, SEEK_SET) : -1)
        }
        errno = 0
        let length = Int(operation.b)
        let bytes = Self.pattern(operation.c, length)
        return .result(bytes.withUnsafeBytes { data in
            switch operation.kind {
            case .write: return Glibc.write(fd, data.baseAddress, length)
            case .pwrite: return Glibc.pwrite(fd, data.baseAddress, length, off_t(operation.a))
            default:
                let start = UnsafeMutableRawPointer(mutating: data.baseAddress)
                let middle = length / 3
                let vectors = [iovec(iov_base: start, iov_len: middle), iovec(iov_base: start.map { $0 + middle }, iov_len: length - middle)]
                return Glibc.writev(fd, vectors, 2)
            }
        })
    }

    func contents(_ operation: Operation) -> Answer {
        let fd = handle(operation.handle), target = handle(operation.other)
        switch operation.kind {
        case .ftruncate: return .result(Glibc.ftruncate(fd, off_t(operation.a)))
        case .truncate: return .result(Self.withPath(operation.path) { Glibc.truncate($0, off_t(operation.a)) })
        case .fallocate: return .result(pm_fallocate(fd, Int32(operation.c), operation.a, operation.b))
        case .fsync: return .result(Glibc.fsync(fd))
        case .fdatasync: return .result(Glibc.fdatasync(fd))
        case .fsyncDirectory:
            let directory = Self.withPath(operation.path) { pm_open(base(operation.base), $0, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0) }
            guard directory >= 0 else { return .failure() }
            defer { Glibc.close(directory) }
            return .result(Glibc.fsync(directory))
        case .advise: return .result(-Int(posix_fadvise(fd, 0, 0, Int32(operation.a))))
        case .sendfile:
            guard Int64(size(target)) < Generator.sizeLimit else { return Answer("large") }
            // A file into itself: the pages in the pipe are those that are written, and in what steps is every filesystem's own affair.
            guard !Self.areSame(fd, target) else { return Answer("same file") }
            var offset = off_t(max(operation.a, 0))
            return .result(operation.a < 0 ? Glibc.sendfile(target, fd, nil, Int(operation.c)) : Glibc.sendfile(target, fd, &offset, Int(operation.c)))
        case .splice:
            let count = pm_splice(fd, operation.a, pipe.write, Int(min(operation.c, 4096)))
            return count < 0 ? .failure() : Answer(Self.digest(drain()))
        default:
            guard Int64(size(target)) < Generator.sizeLimit else { return Answer("large") }
            return .result(pm_copy_range(fd, operation.a, target, operation.b, Int(operation.c)))
        }
    }

    func size(_ fd: Int32) -> UInt64 {
        var status = pm_status()
        return pm_stat(fd, "", Worker.itself, &status) == 0 ? status.size : 0
    }

    /// Takes all that is in the pipe.
    func drain() -> [UInt8] {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = Glibc.read(pipe.read, &buffer, buffer.count)
            guard count > 0 else { return all }
            all += buffer.prefix(count)
        }
    }

    private static func areSame(_ first: Int32, _ second: Int32) -> Bool {
        var (one, other) = (stat(), stat())
        return fstat(first, &one) == 0 && fstat(second, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino
    }
}

import CPosixMachine
import Glibc

/// Two pages of a file in memory, shared. The descriptor keeps the file at hand after its handle was closed.
struct Mapping {
    static let bytes = Int(Generator.pageBytes) * 2
    let address: UnsafeMutableRawPointer
    let file: Int32
    let offset: Int64
    let writable: Bool
}

extension Worker {
    mutating func mappings(_ operation: Operation) -> Answer {
        let fd = handle(operation.handle)
        switch operation.kind {
        case .map:
            let writable = operation.b != 0
            let address = mmap(nil, Mapping.bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, off_t(operation.a))
            guard let address, address != UnsafeMutableRawPointer(bitPattern: -1) else { return .failure() }
            drop(operation.other)
            maps[operation.other] = Mapping(address: address, file: dup(fd), offset: operation.a, writable: writable)
            return Answer("ok")
        case .unmap:
            guard maps[operation.other] != nil else { return Answer("empty") }
            drop(operation.other)
            return Answer("ok")
        default:
            guard let map = maps[operation.other] else { return Answer("empty") }
            let place = Int(operation.a) % Mapping.bytes
            switch operation.kind {
            case .mapRead: return load(map, place, Int(operation.b))
            case .mapStore: return store(map, place, Int(operation.b), operation.c)
            default: return times(map, operation.c)
            }
        }
    }

    private mutating func drop(_ place: Int) {
        guard let map = maps[place] else { return }
        munmap(map.address, Mapping.bytes)
        close(map.file)
        maps[place] = nil
    }

    /// How many of `count` bytes from `place` lie within the file. Behind its end a page holds what writeback happens to have
    /// left there, and whole pages behind it fault, which is checked with one byte.
    private func within(_ map: Mapping, _ place: Int, _ count: Int) -> Int {
        let left = Int64(size(map.file)) - map.offset - Int64(place)
        return Int(min(Int64(min(count, Mapping.bytes - place)), left))
    }

    private func faults(_ map: Mapping, _ place: Int) -> Bool {
        let size = Int64(size(map.file))
        return map.offset + Int64(place) >= (size + Generator.pageBytes - 1) / Generator.pageBytes * Generator.pageBytes
    }

    private func load(_ map: Mapping, _ place: Int, _ count: Int) -> Answer {
        let count = within(map, place, count)
        guard count > 0 else {
            guard faults(map, place) else { return Answer("behind the end") }
            let result = Answer.result(write(pipe.write, map.address + place, 1))
            _ = drain()
            return result
        }
        guard write(pipe.write, map.address + place, count) >= 0 else { return .failure() }
        return Answer(Self.digest(drain()))
    }

    /// Stores, and then gives the file a time: when a store into a page that is dirty already shows in mtime depends on when the
    /// page was last written back.
    private mutating func store(_ map: Mapping, _ place: Int, _ count: Int, _ seed: Int64) -> Answer {
        let count = within(map, place, count)
        guard map.writable, count > 0 else { return Answer("no room") }
        let bytes = Self.pattern(seed, count)
        guard write(pipe.write, bytes, count) == count else { return Answer("pipe: \(Answer.errorName(errno))") }
        var answer = Answer.result(read(pipe.read, map.address + place, count))
        _ = drain()
        answer.add("\(msync(map.address, Mapping.bytes, MS_SYNC))")
        answer.add(storedInto: map.file)
        settle(map, seed)
        return answer
    }

    private mutating func settle(_ map: Mapping, _ seed: Int64) {
        let wasOrdinary = wasOrdinary
        become(ordinary: false)
        let time = timespec(tv_sec: Int(UInt64(bitPattern: seed) % 1_000_000_000), tv_nsec: 5)
        futimens(map.file, [time, time])
        become(ordinary: wasOrdinary)
    }

    /// A store into a clean page and msync have changed mtime.
    private mutating func times(_ map: Mapping, _ seed: Int64) -> Answer {
        guard map.writable, within(map, 0, 1) > 0 else { return Answer("no room") }
        settle(map, seed)
        fsync(map.file)
        var before = pm_status(), after = pm_status()
        _ = pm_stat(map.file, "", Worker.itself, &before)
        let byte = [UInt8(truncatingIfNeeded: seed)]
        _ = write(pipe.write, byte, 1)
        var answer = Answer.result(read(pipe.read, map.address, 1))
        answer.add("\(msync(map.address, Mapping.bytes, MS_SYNC))")
        _ = pm_stat(map.file, "", Worker.itself, &after)
        answer.add(after.modified > before.modified ? "newer" : "unchanged")
        answer.add(storedInto: map.file)
        settle(map, seed)
        return answer
    }

    func locks(_ operation: Operation) -> Answer {
        let fd = handle(operation.handle)
        let kind = [F_RDLCK, F_WRLCK, F_UNLCK][Int(operation.a) % 3]
        switch operation.kind {
        case .flock: return .result(pm_flock(fd, Int32(operation.a)))
        case .lock: return .result(pm_lock(fd, PM_LOCK_PROCESS, Int32(kind), operation.b, operation.c))
        case .descriptionLock: return .result(pm_lock(fd, PM_LOCK_DESCRIPTION, Int32(kind), operation.b, operation.c))
        default:
            var holder = pm_holder()
            let family = operation.kind == .lockHolder ? PM_LOCK_PROCESS : PM_LOCK_DESCRIPTION
            guard pm_lock_holder(fd, family, Int32(kind), operation.b, operation.c, &holder) == 0 else { return .failure() }
            guard holder.kind != Int32(F_UNLCK) else { return Answer("free") }
            return Answer("kind\(holder.kind) \(holder.start)+\(holder.length) {p:\(holder.process)}")
        }
    }
}

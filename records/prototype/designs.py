"""Try a design of the puzzle embedding; kept in one commit, as the source of a table in LOG.md.

    git checkout debfc7e && git apply records/prototype/hooks.patch
    OMP_NUM_THREADS=1 python records/prototype/designs.py TRACK SEED DESIGN

TRACK is quick, fifty or adapt, DESIGN for example `equi,P=1,aug=100,cells=2,head=1,posc=0,steps=5000`.
"""
import sys, json, time
import numpy as np, torch
from torch import nn, Tensor
torch.set_num_threads(1)
from dataclasses import replace
from arc_trm.config import load_config, InferenceConfig
from arc_trm.data.training_set import build_training_set
from arc_trm.data.sampler import BatchSampler
from arc_trm.training.trainer import Trainer
from arc_trm.training.optim import sign_sgd, learning_rate_factor
from arc_trm.training.batches import batches_ahead
from arc_trm.models import build_model
from arc_trm.models.linear import truncated_normal
from arc_trm.training.budget import total_steps
from arc_trm.checkpoint import Weights
from arc_trm.inference.queries import build_queries
from arc_trm.inference.engine import predict_batch
from arc_trm.evaluation.voting import VoteCounter
from arc_trm.puzzles import kind_of, SEPARATOR
from arc_trm.puzzles.symmetry import transform
from arc_trm.evaluation.predictions import PredictionSet
from arc_trm.data.splits import load_test_sets, select_predicted

A4 = np.arange(6).reshape(2,3)
MUL = torch.zeros(8,8,dtype=torch.long)
for d in range(8):
    for g in range(8):
        t = transform(transform(A4,g),d)
        MUL[d,g] = next(k for k in range(8) if transform(A4,k).shape==t.shape and (transform(A4,k)==t).all())

def codes_of(names, kind, tasks_index):
    out = np.zeros((len(names),12),np.int64); out[:,2:] = np.arange(10)
    for i,n in enumerate(names):
        t,_,a = n.partition(SEPARATOR)
        out[i,0] = tasks_index.get(t,0)
        if a:
            x = kind.parse_augmentation(a)
            out[i,1] = x.dihedral; out[i,2:] = list(x.colours)
    return torch.from_numpy(out)

class Composer(nn.Module):
    def __init__(self, o, config, ntasks, gen):
        super().__init__()
        self.o, self.P, self.D = o, config.puzzle_emb_len, config.hidden_size
        D = self.D
        kind = o['kind']
        if kind == 'shared':
            dim = D*int(o.get('tpos',1))
            self.sym = nn.Parameter(torch.zeros(8,D)); self.col = nn.Parameter(torch.zeros(9,10,D))
        elif kind == 'film':
            dim = D
            self.sym = nn.Parameter(torch.zeros(8,D)); self.col = nn.Parameter(torch.zeros(9,10,D))
            self.gsym = nn.Parameter(torch.zeros(8,D)); self.gcol = nn.Parameter(torch.zeros(9,10,D))
        elif kind == 'equi':
            a,b,c = int(o.get('inv',D)), int(o.get('ori',8)), int(o.get('col',8))
            self.a,self.b,self.c = a,b,c
            dim = a+8*b+10*c
            lin = lambda i,out: nn.Parameter(truncated_normal((out,i), i**-.5, gen))
            if a != D and not o.get('direct'): self.winv = lin(a,D)
            if b: self.wori = lin(8*b,D)
            if c:
                self.wcol = lin(c if self.P>1 else 10*c, D)
                if self.P>1: self.slot = nn.Parameter(truncated_normal((10,D), D**-.5, gen))
            if o.get('cells'): self.wcell = lin(c, D) if o['cells']=='2' else nn.Parameter(torch.zeros(D, c))
            if o.get('head'): self.whead = nn.Parameter(torch.zeros(D, c))
            if o.get('sym'): self.sym = nn.Parameter(torch.zeros(8,D)); 
        self.dim = dim
        init = torch.zeros(ntasks, dim)
        self.adam = o.get('task','sign') == 'adam'
        if self.adam: self.tasks = nn.Parameter(init)
        else: self.register_buffer('tasks', init.requires_grad_())
    def set_codes(self, codes): self.codes = codes
    def forward(self, ids, inputs):
        code = self.codes[ids]; o, D, P = self.o, self.D, self.P
        v = self.tasks[code[:,0]]
        B = len(v); cells = None
        if o['kind']=='shared':
            s = self.sym[code[:,1]]
            c = self.col[torch.arange(9), code[:,3:]]  # B,9,D
            if P==1: return v+s+c.sum(1), None
            return torch.cat([v, s, c.reshape(B,-1)],1), None
        if o['kind']=='film':
            idx = torch.arange(9)
            g = self.gsym[code[:,1]]+self.gcol[idx, code[:,3:]].sum(1)
            s = self.sym[code[:,1]]+self.col[idx, code[:,3:]].sum(1)
            return v*(1+g)+s, None
        a,b,c = self.a,self.b,self.c
        inv = v[:,:a]
        if o.get('direct'): inv = torch.nn.functional.pad(inv,(0,D-a))
        elif a!=D: inv = inv @ self.winv.T
        parts=[inv]
        ori = torch.zeros(B,8,b).scatter(1, MUL[code[:,1]][:,:,None].expand(B,8,b), v[:,a:a+8*b].reshape(B,8,b)) if b else None
        col = torch.zeros(B,10,c).scatter(1, code[:,2:][:,:,None].expand(B,10,c), v[:,a+8*b:].reshape(B,10,c)) if c else None
        x_ori = ori.reshape(B,-1)@self.wori.T if b else torch.zeros(B,D)
        if o.get('sym'): x_ori = x_ori + self.sym[code[:,1]]
        if o.get('cells'):
            r = col @ self.wcell.T  # B,10,D
            if o.get('head'): self.last = col @ self.whead.T
            r = torch.cat([torch.zeros(B,2,D), r],1)
            cells = r.gather(1, inputs.long()[:,:,None].expand(-1,-1,D))
        if P==1:
            return inv + x_ori + (col.reshape(B,-1)@self.wcol.T if c and o.get('posc')!='0' else 0), cells
        xc = col @ self.wcol.T + self.slot
        return torch.cat([inv, x_ori, xc.reshape(B,-1)],1), cells

def predict(model, tasks, names, naugs, composer, tindex, table_ids=None):
    model.cpu_micro_batch_size = lambda length: 10**6
    kind = kind_of(tasks)
    res = {}
    if composer is None:
        w = Weights(model, {n:i for i,n in enumerate(names)})
        augs = None
    else:
        extra = ['<blank>']
        for i,t in enumerate(tasks):
            own=[n.partition(SEPARATOR)[2] for n in names if n.startswith(t.id+SEPARATOR)]; extra += [t.id]+[t.id+SEPARATOR+n for n in dict.fromkeys(own+list(kind.augmentations(t,i,max(naugs),12345).names()))]
        composer.set_codes(codes_of(extra, kind, tindex))
        model.puzzle_embedding = torch.zeros(len(extra), 1).expand(-1, model.config.puzzle_emb_dim)
        w = Weights(model, {n:i for i,n in enumerate(extra)})
    for n in ([None] if composer is None else naugs):
        q,_ = build_queries(w, tasks, n, InferenceConfig())
        counter = VoteCounter(tasks); retry=[]
        preds=[]
        sides = sorted({x.side for x in q})
        def run(qs):
            for s in sides+[model.config.side]:
                sub=[x for x in qs if x.side==s]
                bs = 128
                for i in range(0,len(sub),bs): preds.extend(predict_batch(w,tasks,sub[i:i+bs],None,retry))
                if s==sides[-1] and s==model.config.side: break
        run(q)
        if retry:
            r=list(retry); retry.clear(); 
            for i in range(0,len(r),64): preds.extend(predict_batch(w,tasks,r[i:i+64],None,retry))
        counter.add(preds)
        top = PredictionSet(tasks, counter).attempts()
        p1=p2=tot=0
        for t in tasks:
            for k,pair in enumerate(t.test):
                tot+=1
                at = [np.array(g) for g in top[t.id][k]]
                ok=[g is not None and g.shape==pair.output.shape and bool((g==pair.output).all()) for g in list(at)[:2]]
                p1+=bool(ok[:1]==[True]); p2+=any(ok)
        good=[np.array_equal(x.grid, tasks[x.task_id].test[x.test].output) if x.grid is not None else False for x in preds]
        res['trained' if n is None else n]=(p1,p2,tot,len(q),round(float(np.mean(good)),4))
    return res

def train(config, spec, pre=None, log=print):
    o = dict(x.split('=') for x in spec.split(',')[1:]); o['kind']=spec.split(',')[0]
    composed = o['kind'] not in ('table',)
    over=[]
    ts = build_training_set(config)
    sampler = BatchSampler(ts.dataset, config.train.global_batch_size, config.seed)
    gen = torch.Generator().manual_seed(config.seed)
    model = build_model(config.model, 1 if composed else len(ts.puzzle_names), torch.float32, gen)
    tindex = {}
    for n in ts.puzzle_names: tindex.setdefault(n.partition(SEPARATOR)[0], len(tindex))
    comp=None
    if composed:
        comp = Composer(o, config.model, len(tindex), gen)
        comp.set_codes(codes_of(ts.puzzle_names, ts.kind, tindex))
        model.composer = comp
        model.puzzle_embedding = torch.zeros(len(ts.puzzle_names),1).expand(-1, config.model.puzzle_emb_dim)
    if pre is not None:
        state = pre.state_dict(); own = model.state_dict()
        for k in own:
            if k=='composer.tasks': own[k] = state[k][1:].mean(0).repeat(len(tindex),1)
            else: own[k]=state[k]
        model.load_state_dict(own)
        if comp is not None and not comp.adam: comp.tasks.requires_grad_()
        if comp is None:
            model.puzzle_embedding = pre.puzzle_embedding[1:].mean(0).repeat(len(ts.puzzle_names),1); 
    tr = replace(config.train, total_steps=total_steps(config, sampler), eval_time_share=0)
    if pre is not None:
        tr = replace(tr, embedding_only_fraction=float(o.get('eo', .25)))
    trainer = Trainer(model, tr, gen)
    if composed: trainer._limits = (lambda f: (lambda: {**f(), 'puzzle_ids': (0, len(comp.codes))}))(trainer._limits)
    elr = float(o.get('lr', tr.puzzle_emb_lr)); t0=time.time()
    ex=[]
    import arc_trm.training.trainer as T
    if composed: T.sign_sgd = lambda *a, **k: None
    with batches_ahead(sampler, torch.device('cpu')) as batch:
        for s in range(tr.total_steps):
            m = trainer.step(batch(s))
            ex.append((m['exact_accuracy'], m['count']))
            if comp is not None and not comp.adam:
                f = learning_rate_factor(trainer.steps_done, tr)
                g = comp.tasks.grad
                with torch.no_grad():
                    hit = g.abs().amax(1)>0
                    comp.tasks[hit] = comp.tasks[hit]*(1-elr*f*tr.puzzle_emb_weight_decay) - elr*f*g[hit].sign()
                    g.zero_()
            if s%1000==999:
                e=np.array(ex[-500:]).sum(0); log(s+1, f'{time.time()-t0:.0f}s', f'exact {e[0]/max(1,e[1]):.3f}', f"loss {m['lm_loss']:.3f}", flush=True)
    model.eval()
    with torch.no_grad(): trainer.flat_params.copy_(trainer.ema)
    e=np.array(ex[-500:]).sum(0)
    return model, ts, comp, tindex, e[0]/max(1,e[1]), time.time()-t0

def main():
    bench, seed, spec = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    o = dict(x.split('=') for x in spec.split(',')[1:])
    P = o.get('P'); aug=o.get('aug')
    over=[f'seed={seed}']
    if P: over.append(f'model.puzzle_emb_len={P}')
    if aug: over.append(f'data.augmentations={aug}')
    if 'steps' in o: over.append(f"train.total_steps={o['steps']}")
    for k in ('wd',): 
        if k in o: over.append(f"train.puzzle_emb_weight_decay={o[k]}")
    pre=None
    if bench=='quick': cfg = load_config('quickstart', None, over)
    elif bench=='fifty':
        cfg = load_config('quickstart', None, over+['model.canvas=bucketed','model.seq_len=400','data.max_grid_size=30','data.test=["mixed_challenges.json"]']+([] if 'steps' in o else ['train.total_steps=5000']))
    elif bench=='adapt':
        base = load_config('quickstart', None, over+['model.seq_len=49','data.max_grid_size=6','data.test=["arc-agi-1/evaluation"]','train.total_steps=4000'])
        pre = train(base, spec)[0]
        from arc_trm.config import AdaptConfig
        cfg = load_config('quickstart', None, over+['model.seq_len=49','data.max_grid_size=5','train.total_steps=4000'])
    model, ts, comp, tindex, ex, secs = train(cfg, spec, pre)
    tasks = select_predicted(load_test_sets(cfg.data), cfg.data)
    if bench=='fifty':
        from arc_trm import load_tasks
        tasks = load_tasks('arc-agi-1/training').filter_by_size(12).first(50)
    naugs = [int(x) for x in o.get('votes','4:30:100').split(':')]
    if bench=='fifty': naugs=[4,30]
    res = predict(model, tasks, ts.puzzle_names, naugs, comp, tindex)
    rec = dict(bench=bench, seed=seed, spec=spec, exact=round(ex,4), seconds=round(secs), res={str(k):v for k,v in res.items()})
    print(json.dumps(rec))
main()
